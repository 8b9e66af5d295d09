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
# # A language model
#
# A language model is a classifier of the next token: the features are the states of the tokens, the
# classes are the vocabulary, and the head is the unembedding. Here a small causal transformer in
# Flax is trained for a minute on the text of Python's own documentation, which comes with Python.
# The measures are taken of held-out tokens, over training and layer by layer.

# %%
import os
import re
from collections import Counter
from pydoc_data.topics import topics

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from flax import linen as nn

import infojax

# %matplotlib inline
plt.rcParams |= {"figure.figsize": (7, 3), "figure.constrained_layout.use": True}
SHORT = "SHORT" in os.environ  # set where the notebook is only tested
steps, num_words, length, width, depth = (12, 200, 16, 32, 2) if SHORT else (1200, 2000, 64, 96, 3)
held_out_tokens = 128 if SHORT else 512

# %% [markdown]
# ## Tokens and padding
#
# A token is a word, a number or a punctuation mark; rare words share one token. Texts end anywhere,
# so the last row of each is padded. A mask says which positions have a target: padding has none,
# and neither have rare words, which are no class of their own.

# %%
texts = [re.findall(r"\w+|[^\w\s]", topics[name].lower()) for name in sorted(topics)]
common = Counter(token for text in texts for token in text).most_common(num_words - 2)
PADDING, RARE = 0, 1
index = {token: i for i, (token, _) in enumerate(common, 2)}
rows = []
for text in texts:
    tokens = [index.get(token, RARE) for token in text]
    for start in range(0, len(tokens) - 1, length):
        row = tokens[start : start + length + 1]
        rows.append(row + [PADDING] * (length + 1 - len(row)))
rows = np.random.default_rng(0).permutation(np.array(rows, np.int32))
number = held_out_tokens // length
held_out, train = rows[:number], jnp.asarray(rows[number:])
x, y = jnp.asarray(held_out[:, :-1]), jnp.asarray(held_out[:, 1:])
mask = y > RARE
print(f"{len(train)} rows for training; {y.size} held-out positions, {mask.sum()} with a target")

# %% [markdown]
# ## The model
#
# It returns the states of all tokens after every layer, beside the logits: the last of them is the
# input of the unembedding.


# %%
class Block(nn.Module):
    @nn.compact
    def __call__(self, x):
        causal = nn.make_causal_mask(x[..., 0])
        x = x + nn.MultiHeadDotProductAttention(4)(nn.LayerNorm()(x), mask=causal)
        return x + nn.Dense(width)(nn.gelu(nn.Dense(4 * width)(nn.LayerNorm()(x))))


class LanguageModel(nn.Module):
    @nn.compact
    def __call__(self, tokens):
        places = self.param("places", nn.initializers.normal(0.02), (length, width))
        x = nn.Embed(num_words, width)(tokens) + places
        layers = [x]
        for _ in range(depth):
            x = Block()(x)
            layers.append(x)
        z = nn.LayerNorm(use_bias=False)(x)
        w = self.param("unembedding", nn.initializers.normal(0.02), (num_words, width))
        return [*layers, z], z @ w.T


layer_names = ["embedding", *(f"block {i + 1}" for i in range(depth)), "norm"]

# %% [markdown]
# ## What is measured
#
# `sample_interplay` takes the states `[rows, length, width]` and the targets `[rows, length]` as
# they are, with the mask. No matrix has the size of the vocabulary: the head rows of the targets
# are enough. The number of tokens is part of MIR and HDR, so it is the same at every step and
# layer.
#
# Beside MIR stands its chance level, by `infojax.chance`: the same states and the same targets, in
# random order.


# %%
@jax.jit
def evaluate(params):
    """Returns the loss of held-out tokens; by layer MIR, HDR, effective rank and chance level."""
    layers, logits = model.apply(params, x)
    w = params["params"]["unembedding"]

    def measure(z):
        found = infojax.chance(z, y, w, jax.random.key(0), num_permutations=4, mask=mask)
        rank = infojax.effective_rank(z, mask=mask)
        return found.mir, found.hdr, rank, found.expected_mir

    loss = jnp.mean(infojax.losses.cross_entropy(logits, y), where=mask)
    return loss, jnp.stack(jax.lax.map(measure, jnp.stack(layers)), 1)


# %% [markdown]
# ## Training

# %%
model = LanguageModel()
optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, steps), weight_decay=0.1)


def loss_fn(params, batch):
    logits = model.apply(params, batch[:, :-1])[1]
    targets = batch[:, 1:]
    losses = infojax.losses.cross_entropy(logits, targets)
    return jnp.mean(losses, where=targets > RARE)


@jax.jit
def train_step(params, state, key):
    batch = train[jax.random.randint(key, (16,), 0, len(train))]
    gradient = jax.grad(loss_fn)(params, batch)
    updates, state = optimizer.update(gradient, state, params)
    return optax.apply_updates(params, updates), state


params = model.init(jax.random.key(0), x[:1])
state = optimizer.init(params)
evaluated = sorted({0, *np.geomspace(1, steps, 10).astype(int).tolist()})
found = []
for step, key in enumerate(jax.random.split(jax.random.key(1), steps + 1)):
    if step in evaluated:
        loss, by_layer = evaluate(params)
        found.append((float(loss), np.asarray(by_layer)))
    params, state = train_step(params, state, key)
losses, measured = np.array([loss for loss, _ in found]), np.array([m for _, m in found])
guessing = np.log(num_words)
print(f"loss of held-out tokens {losses[0]:.2f} to {losses[-1]:.2f} nats; uniform {guessing:.2f}")

# %% [markdown]
# ## Over training
#
# MIR and HDR of the input of the unembedding. Much of MIR is chance: with hundreds of classes among
# a few hundred tokens, few tokens share a target, and the joint entropy is near its limit, the
# logarithm of the number of tokens. What the states know of their targets is the distance from the
# chance level. It is not zero before training either: the state of a token names the token, and
# some tokens have usual successors.

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3))
axes[0].plot(evaluated, losses, "o-")
axes[0].set(ylabel="loss of held-out tokens, nats")
axes[1].plot(evaluated, measured[:, -1, 0], "o-", label="MIR")
axes[1].plot(evaluated, measured[:, -1, 3], "s:", color="0.5", label="chance")
axes[1].set(ylabel=f"MIR, {mask.sum()} tokens")
axes[1].legend()
axes[2].plot(evaluated, measured[:, -1, 1], "o-")
axes[2].set(ylabel=f"HDR, {mask.sum()} tokens")
for axis in axes:
    axis.set(xscale="symlog", xlabel="step", xlim=(0, None))
plt.show()

# %% [markdown]
# ## Layer by layer
#
# Before and after training, for the states after each layer. The effective rank counts the
# directions over which the states spread, of at most the width; a layer norm takes one of them, the
# mean of the features.

# %%
figure, axes = plt.subplots(1, 3, figsize=(9, 3.4))
places = np.arange(len(layer_names))
for when, style in ((0, "o--"), (-1, "o-")):
    label = f"step {evaluated[when]}"
    axes[0].plot(places, measured[when, :, 2], style, label=label)
    axes[1].plot(places, measured[when, :, 0] - measured[when, :, 3], style, label=label)
    axes[2].plot(places, measured[when, :, 1], style, label=label)
for axis, name in zip(axes, ("effective rank", "MIR above chance", "HDR"), strict=True):
    axis.set_xticks(places, layer_names, rotation=45)
    axis.set(ylabel=name)
axes[0].legend()
plt.show()

# %% [markdown]
# ## The masks at work
#
# Whatever stands at masked positions, NaN included, the numbers are those of the others. Training
# can use the same mask in the information loss.

# %%
layers, _ = model.apply(params, x)
w = params["params"]["unembedding"]
spoilt = jnp.where(mask[..., None], layers[-1], jnp.nan)
for z in (layers[-1], spoilt):
    print(f"MIR {infojax.sample_interplay(z, y, w, mask=mask).mir:.6f}")
weights = {"mi_weight": 0.01, "id_weight": 0.01}
print(f"loss {infojax.losses.information_loss(spoilt, w[y], **weights, mask=mask):.6f} nats")

# %% [markdown]
# ## Over all positions
#
# `population.interplay_of_features` takes any number of tokens. Where the eigenvalues of the joint
# matrix are too many, it estimates their entropy and states its standard error.

# %%
every = infojax.population.interplay_of_features(layers[-1], y, w, mask=mask, rtol=1e-2)
print(f"MIR {every.mir:.4f} ± {every.standard_error.mir:.4f} ({every.route})")

# %%
figure, axis = plt.subplots()
for name, z in zip(layer_names, layers, strict=True):
    kept = z[mask]
    unit = kept / jnp.linalg.norm(kept, axis=1, keepdims=True)
    shares = np.linalg.eigvalsh(np.asarray(unit.T @ unit, np.float64) / len(kept))[::-1]
    axis.plot(np.arange(1, width + 1), shares, label=name)
axis.set(yscale="log", ylim=(1e-5, 1), xlabel="eigenvalue", ylabel="share of the trace")
figure.legend(loc="outside right upper")
plt.show()
