"""Fine-tuning on frozen features: all seeds and all objectives of a point in one program."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from ml_collections import ConfigDict

import infojax
from infojax import losses
from infojax._products import matmul
from infojax.data.few_shot import Features
from infojax.moments import unit_rows
from infojax.training import evaluation

Array = jax.Array | np.ndarray


class Task(NamedTuple):
    """What batches are drawn from: all images, then all texts; and the text of each class.

    Attributes:
      features: of images and of single prompts, float32 [N + P C, D].
      labels: their classes, int32 [N + P C].
      num_images: N.
      texts: mean text feature of each class, float32 [C, D].
    """

    features: np.ndarray
    labels: np.ndarray
    num_images: int
    texts: np.ndarray


class Plan(NamedTuple):
    """What S seeds and M objectives train on.

    Attributes:
      keys: JAX keys [S] of the initial parameters.
      batches: rows of the task in each batch, int32 [S, M, T, b], -1 for padding.
      weights: λ of each objective `(1 - λ) CE + λ CMA`, float32 [M].
    """

    keys: jax.Array
    batches: np.ndarray
    weights: np.ndarray


class Outcome(NamedTuple):
    """Last-step models: parameters [S, M, ...]; cross-entropy and hits of all images [S, M, N]."""

    params: Any
    losses: jax.Array
    hits: jax.Array


class Measures(NamedTuple):
    """How image and text features relate; each float [], class_entropies [C].

    Attributes:
      modality_gap: length of the mean difference of an image's features and its class's text.
      class_entropies: matrix entropy of a class's images and its text, divided by the logarithm
        of their number.
      mir: matrix mutual information ratio of images and their class's texts.
      hdr: entropy difference ratio of the same.
      chance_mir: MIR of permuted labels; None if it is not measured.
      corrected_mir: MIR corrected for it; None likewise.
    """

    modality_gap: jax.Array
    class_entropies: jax.Array
    mir: jax.Array
    hdr: jax.Array
    chance_mir: jax.Array | None = None
    corrected_mir: jax.Array | None = None

    def named(self) -> dict[str, Any]:
        """Those that are measured, by name."""
        return {name: x for name, x in self._asdict().items() if x is not None}


def make_fine_tune(
    model: nn.Module, learning_rate: float, config: ConfigDict
) -> Callable[[Task, Plan], Outcome]:
    """Returns the function that fine-tunes a head for all seeds and objectives at once."""
    loss_fn = _make_loss(model, config)
    warm_up = max(1, config.num_steps // 20)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, warm_up, config.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=config.weight_decay)

    def fine_tune(num_images, arrays, key, batches, weight):
        features, labels, texts = arrays
        task = Task(features, labels, num_images, texts)
        images, labels = features[:num_images], labels[:num_images]
        params = model.init(key, images[:1], texts)["params"]

        def step(carry, batch):
            params, state = carry
            gradient = jax.grad(loss_fn)(params, task, batch, weight)
            updates, state = optimizer.update(gradient, state, params)
            return (optax.apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (params, optimizer.init(params)), batches)
        logits = _logits(*_adapt(model, params, images, texts), config.logit_scale)
        hits = jnp.argmax(logits, -1) == labels
        return Outcome(params, losses.cross_entropy(logits, labels), hits)

    @functools.partial(jax.jit, static_argnums=0)
    def compiled(num_images, arrays, plan):
        of_one = functools.partial(fine_tune, num_images, arrays)
        return jax.vmap(jax.vmap(of_one, (None, 0, 0)), (0, 0, None))(*plan)

    return lambda task, plan: compiled(
        task.num_images, (task.features, task.labels, task.texts), plan
    )


def _make_loss(model: nn.Module, config: ConfigDict) -> Callable[..., jax.Array]:
    """`(1 - λ) CE + λ CMA` of a batch of images and texts."""

    def loss_fn(params, task, batch, weight):
        inside, is_image = batch >= 0, (batch >= 0) & (batch < task.num_images)
        y = task.labels[batch]
        adapted, classes = _adapt(model, params, task.features[batch], task.texts)
        ce = losses.cross_entropy(_logits(adapted, classes, config.logit_scale), y)
        ce = jnp.sum(jnp.where(inside, ce, 0)) / jnp.sum(inside.astype(ce.dtype))
        cma = losses.cross_modal_alignment(
            adapted, classes, jnp.where(is_image, y, -1), config.variant
        )
        return (1 - weight) * ce + weight * cma

    return loss_fn


def make_measure(model: nn.Module, permutations: int) -> Callable[[Features, Any], Measures]:
    """Returns the function that measures test images under parameters [k, ...].

    Args:
      model: the head.
      permutations: as in `measure`.
    """

    @jax.jit
    def compiled(images, texts, labels, test, members, params):
        def of_one(params):
            adapted = _adapt(model, params, images, texts)
            return measure(*adapted, labels, test, members, permutations)

        return jax.lax.map(of_one, params)

    def run(features: Features, params: Any) -> Measures:
        arrays = features.images, features.texts, features.labels, features.test
        return compiled(*arrays, class_members(features), params)

    return run


def measure(
    images: Array,
    texts: jax.Array,
    labels: Array,
    test: Array,
    members: Array,
    permutations: int,
) -> Measures:
    """Measures image and text features on the test images.

    Args:
      images: of all images, float [N, d].
      texts: float [C, d].
      labels: integer [N].
      test: indices of the test images, integer [m].
      members: test images of each class, see `class_members`.
      permutations: of the labels, for the chance level of MIR; 0: none.
    """
    z, y = images[test], labels[test]
    difference = unit_rows(z) - unit_rows(texts)[y]
    own = jnp.where((members < 0)[:, :, None], 0, images[members])
    sizes = jnp.sum((members >= 0).astype(images.dtype), 1) + 1
    entropies = jax.vmap(infojax.feature_entropy)(jnp.concatenate([own, texts[:, None]], 1))
    shared = infojax.sample_interplay(z, y, texts)
    measures = Measures(
        jnp.linalg.norm(jnp.mean(difference, 0)),
        entropies / jnp.log(jnp.maximum(sizes, 2)),
        shared.mir,
        shared.hdr,
    )
    if not permutations:
        return measures
    batch = jnp.asarray(z), jnp.asarray(y)
    interplay = lambda z, y: infojax.sample_interplay(z, y, texts)  # noqa: E731
    permuted = lambda i: evaluation.permuted_mir(interplay, batch, i)  # noqa: E731
    chance = jnp.mean(jax.lax.map(permuted, jnp.arange(permutations)))
    return measures._replace(**evaluation.beside_chance("mir", shared.mir, chance))


def zero_shot(features: Features) -> dict[str, float]:
    """Accuracy of the nearest text feature, on all images and on the test images."""
    hits = np.argmax(features.images @ features.texts.T, 1) == features.labels
    return {"all": float(np.mean(hits)), "test": float(np.mean(hits[features.test]))}


def class_members(features: Features) -> np.ndarray:
    """Test images of each class, int32 [C, largest class], -1 for padding."""
    own = [features.test[features.labels[features.test] == c] for c in range(len(features.texts))]
    largest = max(map(len, own))
    return np.stack([np.pad(x, (0, largest - len(x)), constant_values=-1) for x in own])


def _adapt(model: nn.Module, params: Any, images, texts) -> tuple[jax.Array, jax.Array]:
    adapted, classes = model.apply({"params": params}, images, texts)
    return jnp.asarray(adapted), jnp.asarray(classes)


def _logits(images: jax.Array, texts: jax.Array, scale: float) -> jax.Array:
    return scale * matmul(images, texts.T)
