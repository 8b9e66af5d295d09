# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     notebook_metadata_filter: jupytext,kernelspec,-jupytext.text_representation
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tour of the metrics
#
# What matrix entropy, MIR and HDR measure, what they depend on, and how to use them in your own
# model. All logarithms are natural, and every matrix is divided by its trace.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import infojax
from infojax import collapse, population

# %matplotlib inline
plt.rcParams |= {"figure.figsize": (7, 3.2), "figure.constrained_layout.use": True}

# %% [markdown]
# ## A spectrum and its entropy
#
# Ten classes in 32 dimensions. The class means are the corners of a simplex, their limit under
# neural collapse; the samples scatter around them with standard deviation $\sigma$ in every
# direction. The matrix entropy of the features is the entropy of the eigenvalues of their Gram
# matrix, so it counts directions: its exponential is the effective rank. Without scatter there are
# nine equal eigenvalues and the effective rank is 9; with strong scatter it approaches 32.

# %%
C, D = 10, 32
means = collapse.simplex_etf(C, D)  # also the rows of the head
labels = jnp.arange(640) % C


def features(sigma, y=labels, seed=0):
    return means[y] + sigma * jax.random.normal(jax.random.key(seed), (len(y), D))


figure, axis = plt.subplots()
for sigma in (0, 0.05, 0.2, 1):
    z = features(sigma)
    spectrum = np.linalg.eigvalsh(infojax.gram(z))[::-1][:D] / len(z)
    rank = float(infojax.effective_rank(z))
    axis.plot(
        range(1, D + 1), spectrum, ".-", label=f"$\\sigma$ = {sigma}: effective rank {rank:.1f}"
    )
axis.set(yscale="log", ylim=(1e-5, 1), xlabel="eigenvalue", ylabel="share of the trace")
axis.legend()
plt.show()

# %% [markdown]
# ## Features and head: MIR and HDR
#
# `sample_interplay(z, y, w)` compares the features with the head rows $w_{y_i}$ of their labels. At
# collapse features and head are the same up to scale: HDR, the relative difference of their
# entropies, is 0, and MIR has a known value below 1, because the joint matrix (their entrywise
# product) has more directions than either.

# %%
sigmas = np.geomspace(0.01, 3, 25)
measure = jax.jit(infojax.sample_interplay)
curves = [measure(features(s), labels, means) for s in sigmas]
figure, axis = plt.subplots()
axis.plot(sigmas, [c.mir for c in curves], label="MIR")
axis.plot(sigmas, [c.hdr for c in curves], "--", label="HDR")
axis.axhline(collapse.mir_at_collapse(C), color="0.5", lw=1, label="MIR at collapse")
axis.set(xscale="log", xlabel=r"scatter $\sigma$", ylim=(0, 1))
axis.legend()
plt.show()

# %% [markdown]
# ## The batch size is part of the number
#
# The same features, measured on batches of $n$. The samples of a small batch point in nearly
# orthogonal directions, and for that reason alone its MIR is high. Compare MIR only between batches
# of the same size; metric names therefore carry it, as in `test/mir_64`.

# %%
sizes = (16, 64, 256, 1024)
y = jax.random.randint(jax.random.key(1), (4 * max(sizes),), 0, C)
z = features(0.3, y, seed=2)
whole = population.interplay(population.Statistics.zeros(C, D).update(z, y), means)


@jax.jit
def of_batches(z, y):
    return jax.lax.map(lambda batch: infojax.sample_interplay(*batch, means), (z, y))


found = [of_batches(z.reshape(-1, n, D), y.reshape(-1, n)) for n in sizes]
figure, axis = plt.subplots()
for name, style in (("mir", "o-"), ("hdr", "s--")):
    values = [np.asarray(getattr(shared, name)) for shared in found]
    line = axis.errorbar(
        sizes, [v.mean() for v in values], [v.std() for v in values], fmt=style, capsize=3
    )
    line.set_label(f"{name.upper()} of batches")
    colour = line[0].get_color()
    axis.axhline(getattr(whole, name), color=colour, lw=1, ls=":", label=f"{name.upper()} of all")
axis.set(xscale="log", xlabel="batch size n", ylim=(0, 1))
axis.legend(ncols=2)
plt.show()

# %% [markdown]
# ## The value of a whole data set
#
# The dotted lines come from statistics collected in one pass, batch by batch, which can be summed
# over devices. Where the joint entropy would need too large a matrix, it is estimated with a
# standard error. With 80 classes in 80 dimensions, as here, the estimate can still be checked
# against the eigenvalues of the matrix of all samples.

# %%
classes, d, n = 80, 80, 800
centres, noise = (
    jax.random.normal(jax.random.key(i), shape) for i, shape in ((3, (classes, d)), (4, (n, d)))
)
y = jnp.arange(n) % classes
z = centres[y] + noise
statistics = population.Statistics.zeros(classes, d)
for start in range(0, n, 200):
    statistics = statistics.update(z[start : start + 200], y[start : start + 200])
estimate = population.interplay(statistics, centres)
exact = infojax.sample_interplay(z, y, centres)
print(f"MIR {estimate.mir:.4f} ± {estimate.standard_error.mir:.4f} ({estimate.route})")
print(f"MIR {exact.mir:.4f} (exact)")
assert abs(estimate.mir - exact.mir) < 5 * estimate.standard_error.mir

# %% [markdown]
# ## Derivatives at collapse
#
# At collapse, where training leads, eigenvalues repeat and most are zero. Derivatives through
# eigenvectors or $w \log w$ are NaN there. infojax defines the derivative directly, as that of a
# function of the matrix. Below, five classes are at collapse, one of them larger; as their means
# move, the slope of the entropy agrees with a difference quotient.

# %%
y = jnp.minimum(labels[:60], 4)
at_collapse = features(0, y)
direction = jax.random.normal(jax.random.key(5), (5, D))[y]


def naive_entropy(z):
    w = jnp.linalg.eigvalsh(infojax.gram(z) / len(z))
    return -jnp.sum(w * jnp.log(w))


slopes = {}
for name, entropy in (("infojax", infojax.feature_entropy), ("naive", naive_entropy)):
    slopes[name] = jax.jvp(entropy, (at_collapse,), (direction,))[1]
ahead, behind = (infojax.feature_entropy(at_collapse + h * direction) for h in (0.01, -0.01))
print({name: round(float(slope), 4) for name, slope in slopes.items()})
print(f"quotient: {(ahead - behind) / 0.02:.4f}")

# %% [markdown]
# ## Your own model
#
# A small network on scikit-learn's digits, in plain JAX. The regulariser is one term of the loss:
# it rewards mutual information between features and head rows, and penalises the difference of
# their entropies. MIR rises and HDR falls, as intended; accuracy hardly changes in this one seed.

# %%
digits = load_digits()
x = jnp.asarray(digits.data, jnp.float32) / 16
y = jnp.asarray(digits.target, jnp.int32)
train, test = (x[:1200], y[:1200]), (x[1200:], y[1200:])


def outputs(params, x):
    z = jax.nn.relu(x @ params["hidden"] + params["bias"])
    return z, z @ params["head"].T


def loss(params, x, y, weight):
    z, logits = outputs(params, x)
    information = infojax.losses.information_loss(z, params["head"][y], weight, weight)
    return jnp.mean(infojax.losses.cross_entropy(logits, y)) + information


@jax.jit
def train_step(params, key, weight):
    index = jax.random.randint(key, (64,), 0, len(train[0]))
    gradient = jax.grad(loss)(params, train[0][index], train[1][index], weight)
    return jax.tree.map(lambda p, g: p - 0.5 * g, params, gradient)


@jax.jit
def evaluate(params):
    z, logits = outputs(params, test[0])
    return jnp.mean(jnp.argmax(logits, -1) == test[1]), infojax.sample_interplay(
        z, test[1], params["head"]
    )


figure, axes = plt.subplots(1, 3, figsize=(9, 3), sharex=True)
for weight, style in ((0.0, "-"), (0.3, "--")):
    keys = jax.random.split(jax.random.key(0), 403)
    params = {
        "hidden": 0.2 * jax.random.normal(keys[0], (64, 64)),
        "bias": jnp.zeros(64),
        "head": 0.2 * jax.random.normal(keys[1], (10, 64)),
    }
    steps, rows = range(0, 401, 20), []
    for step, key in enumerate(keys[1:]):
        if step in steps:
            accuracy, shared = evaluate(params)
            rows.append((accuracy, shared.mir, shared.hdr))
        params = train_step(params, key, weight)
    for axis, values, name in zip(axes, np.array(rows).T, ("accuracy", "MIR", "HDR"), strict=True):
        axis.plot(steps, values, style, label=f"$\\lambda$ = {weight}")
        axis.set(title=f"{name}, {len(test[1])} test digits", xlabel="step")
axes[0].legend()
plt.show()
