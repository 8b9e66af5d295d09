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
# # Linear mode connectivity
#
# Two networks are trained on the same data in another order, from the same initial parameters or
# from others. Are they connected: is every network on the straight line between them as good as its
# ends? And what do MIR and HDR do on the way? The networks here are small and have BatchNorm, whose
# statistics need care. `configs/mode_connectivity.py` is the experiment on CIFAR-10.

# %%
import os
from functools import partial

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import linen as nn
from sklearn.datasets import load_digits

import infojax
from infojax.methods.interpolation import barrier, interpolate, recompute_batch_stats

# %matplotlib inline
plt.rcParams |= {"figure.figsize": (7, 3), "figure.constrained_layout.use": True}
SHORT = "SHORT" in os.environ  # set where the notebook is only tested
steps, points = (30, 7) if SHORT else (600, 31)

# %% [markdown]
# ## Two networks
#
# One seed draws the initial parameters, another the order of the data.

# %%
digits = load_digits()
x, y = jnp.asarray(digits.data / 16, jnp.float32), jnp.asarray(digits.target, jnp.int32)
order = jax.random.permutation(jax.random.key(0), len(x))
train, test = order[:1200], order[1200:]


class Network(nn.Module):
    @nn.compact
    def __call__(self, x, train):
        for _ in range(2):
            x = nn.Dense(64)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        return x, nn.Dense(10, name="head")(x)


model, optimizer = Network(), optax.sgd(0.1, momentum=0.9)


@jax.jit
def train_network(start_seed, data_seed):
    """Trains a network from the parameters and on the order of the data that the seeds give."""
    first = model.init(jax.random.key(start_seed), x[:2], train=False)

    def loss_fn(params, batch_stats, rows):
        variables = {"params": params, "batch_stats": batch_stats}
        (_, logits), new = model.apply(variables, x[rows], train=True, mutable="batch_stats")
        return jnp.mean(infojax.losses.cross_entropy(logits, y[rows])), new["batch_stats"]

    def step(carry, key):
        params, batch_stats, state = carry
        rows = jax.random.choice(key, train, (64,))
        gradient, batch_stats = jax.grad(loss_fn, has_aux=True)(params, batch_stats, rows)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, updates), batch_stats, state), None

    start = (first["params"], first["batch_stats"], optimizer.init(first["params"]))
    keys = jax.random.split(jax.random.key(data_seed), steps)
    (params, batch_stats, _), _ = jax.lax.scan(step, start, keys)
    return {"params": params, "batch_stats": batch_stats}


# %% [markdown]
# ## The line between them
#
# `interpolate` mixes two trees of parameters. The running statistics of BatchNorm belong to the
# network that they were measured in: mixed like the parameters, they are wrong in between.
# `recompute_batch_stats` measures them again, on training images.

# %%
omegas = np.linspace(0, 1, points, dtype=np.float32)
batches = x[train].reshape(-1, 200, 64)


def forward(params, batch_stats, images):
    variables = {"params": params, "batch_stats": batch_stats}
    return model.apply(variables, images, train=True, mutable="batch_stats")[1]["batch_stats"]


def measure(a, b, omega, recompute):
    """Returns error, MIR, HDR and both entropies at one point of the line."""
    mixed = interpolate(a, b, omega)
    if recompute:
        mixed["batch_stats"] = recompute_batch_stats(
            forward, mixed["params"], mixed["batch_stats"], batches
        )
    z, logits = model.apply(mixed, x[test], train=False)
    shared = infojax.sample_interplay(z[:256], y[test][:256], mixed["params"]["head"]["kernel"].T)
    error = 1 - jnp.mean(jnp.argmax(logits, -1) == y[test])
    return jnp.stack([error, shared.mir, shared.hdr, shared.entropy_z, shared.entropy_v])


@partial(jax.jit, static_argnums=2)
def path(a, b, recompute):
    return jax.lax.map(lambda omega: measure(a, b, omega, recompute), jnp.asarray(omegas))


paths = {}
a = train_network(1, 2)
for start, b in (("same", train_network(1, 3)), ("other", train_network(4, 3))):
    for treatment in ("interpolated", "recomputed"):
        paths[start, treatment] = np.asarray(path(a, b, treatment == "recomputed"))

# %% [markdown]
# ## The barrier
#
# The error barrier is the largest error on the line minus the mean of the errors at its ends.

# %%
for (start, treatment), found in paths.items():
    print(f"{start:>5} start, {treatment} statistics: barrier {barrier(found[:, 0]):.3f}")

# %%
figure, axes = plt.subplots(1, 2, sharey=True)
for (start, treatment), found in paths.items():
    axis = axes[int(treatment == "recomputed")]
    axis.plot(omegas, 1 - found[:, 0], label=f"{start} start")
    axis.set(title=f"{treatment} statistics", xlabel="ω")
axes[0].set(ylabel="test accuracy", ylim=(0, 1.03))
axes[0].legend()
plt.show()

# %% [markdown]
# ## MIR and HDR on the way
#
# Compare the two treatments: what interpolated statistics add to a curve is their damage to the
# network, and no property of the line.

# %%
for column, name in ((1, "MIR"), (2, "HDR")):
    figure, axis = plt.subplots()
    for (start, treatment), found in paths.items():
        style = "-" if treatment == "recomputed" else "--"
        axis.plot(omegas, found[:, column], style, label=f"{start}, {treatment}")
    axis.set(xlabel="ω", ylabel=f"{name}, 256 test images")
    figure.legend(loc="outside right upper", title="start, statistics")
    plt.show()

# %% [markdown]
# ## Why HDR can touch zero between two networks
#
# HDR is the absolute difference of two entropies, divided by the larger. Where they cross it is 0,
# whatever the accuracy. So look at the entropies themselves before reading anything into a dip.

# %%
figure, axis = plt.subplots()
for treatment, style in (("interpolated", "--"), ("recomputed", "-")):
    found = paths["other", treatment]
    axis.plot(omegas, found[:, 3], style, color="C0", label=f"features, {treatment}")
axis.plot(omegas, found[:, 4], color="C1", label="head rows")
axis.set(xlabel="ω", ylabel="matrix entropy, nats")
figure.legend(loc="outside right upper")
plt.show()
