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
# # Regularise your own model
#
# How to add the information loss to a model, and how to find out what it does: to the measures it
# acts on, and to accuracy, over seeds. The model is a small network on scikit-learn's digits; put
# your own in its place.

# %%
import os

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import linen as nn
from scipy import stats
from sklearn.datasets import load_digits

import infojax

# %matplotlib inline
plt.rcParams |= {"figure.figsize": (7, 3), "figure.constrained_layout.use": True}
SHORT = "SHORT" in os.environ  # set where the notebook is only tested
steps, seeds = (40, 2) if SHORT else (400, 8)

# %% [markdown]
# ## The model
#
# Two things are needed of it: the features z, the input of the last layer, and the head w, the
# weights of the last layer with one row per class.

# %%
digits = load_digits()
x, y = np.float32(digits.data / 16), np.int32(digits.target)
order = np.random.default_rng(0).permutation(len(x))
train, test = order[:300], order[300:]  # few training images, so that there is something to gain


class Network(nn.Module):
    @nn.compact
    def __call__(self, x):
        z = nn.relu(nn.Dense(64)(nn.relu(nn.Dense(64)(x))))
        return z, nn.Dense(10, name="head")(z)


def head(params):
    return params["params"]["head"]["kernel"].T


# %% [markdown]
# ## The loss
#
# The information loss is one more term: `v = w[y]` are the head rows of the labels. `mi_weight`
# rewards mutual information between features and head rows, `id_weight` penalises the difference of
# their entropies. Both weights are arguments of the compiled step, so that none of the settings
# below is compiled again.

# %%
model, optimizer = Network(), optax.adam(3e-3)


def loss_fn(params, x, y, mi_weight, id_weight):
    z, logits = model.apply(params, x)
    cross_entropy = jnp.mean(infojax.losses.cross_entropy(logits, y))
    return cross_entropy + infojax.losses.information_loss(z, head(params)[y], mi_weight, id_weight)


@jax.jit
def train_network(seed, mi_weight, id_weight):
    """Trains one network; returns accuracy, MIR and HDR of the test images."""
    key = jax.random.key(seed)
    params = model.init(key, x[:1])

    def step(carry, key):
        params, state = carry
        rows = jax.random.choice(key, jnp.asarray(train), (64,))
        gradient = jax.grad(loss_fn)(
            params, jnp.asarray(x)[rows], jnp.asarray(y)[rows], mi_weight, id_weight
        )
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.fold_in(key, 1), steps)
    (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), keys)
    z, logits = model.apply(params, x[test])
    accuracy = jnp.mean(jnp.argmax(logits, -1) == y[test])
    shared = infojax.sample_interplay(z[:256], y[test][:256], head(params))
    return accuracy, shared.mir, shared.hdr


# %% [markdown]
# ## The settings
#
# Every setting is trained from the same seeds: same initial parameters, same batches. The
# differences between two settings are then differences of pairs.

# %%
settings = {
    "none": (0.0, 0.0),
    "λ_mi = 0.1": (0.1, 0.0),
    "λ_mi = 1": (1.0, 0.0),
    "λ_id = 0.1": (0.0, 0.1),
    "λ_id = 1": (0.0, 1.0),
}
found = {
    name: np.array([train_network(seed, *weights) for seed in range(seeds)])
    for name, weights in settings.items()
}

# %% [markdown]
# ## What it does to MIR and HDR
#
# MIR and HDR of 256 test images. The losses act on batches of training images; that they also move
# the measures of images that the network has not seen is a result, not a matter of course.

# %%
names = ("test accuracy", "MIR, 256 test images", "HDR, 256 test images")
for column, title in enumerate(names):
    figure, axis = plt.subplots(figsize=(7, 2.2))
    for i, values in enumerate(found.values()):
        axis.plot(values[:, column], np.full(seeds, i), "o", alpha=0.5)
        axis.plot(values[:, column].mean(), i, "k|", ms=18)
    axis.set(yticks=range(len(found)), yticklabels=found, xlabel=title)
    axis.invert_yaxis()
    plt.show()

# %% [markdown]
# ## What it does to accuracy
#
# The paired difference from training without it, with the 95 % interval of Student's t. An interval
# that contains 0 is no evidence of a gain; the number of seeds sets its width.

# %%
for name, values in list(found.items())[1:]:
    difference = values[:, 0] - found["none"][:, 0]
    half = stats.t.ppf(0.975, seeds - 1) * difference.std(ddof=1) / np.sqrt(seeds)
    low, high = difference.mean() - half, difference.mean() + half
    print(f"{name:>11}: accuracy {difference.mean():+.4f} [{low:+.4f}, {high:+.4f}]")

# %% [markdown]
# ## In your own loop
#
# - The term is a function of the whole batch: do not vmap it over samples. On several devices, pass
#   `axis_name` under pmap and shard_map.
# - To shape the features and leave the head to the cross-entropy, stop its gradient:
#   `jax.lax.stop_gradient(head(params))[y]`.
# - Samples without labels are left out by `mask=`.
# - Log both terms: `losses.global_interplay` returns the entropies and the mutual information.

# %%
params = model.init(jax.random.key(0), x[:1])
z, _ = model.apply(params, x[train[:64]])
shared = infojax.losses.global_interplay(z, head(params)[y[train[:64]]])
print(f"H(Z) {shared.entropy_z:.3f}, H(V) {shared.entropy_v:.3f} nats")
print(f"I {shared.mutual_information:.3f} nats, before training")
