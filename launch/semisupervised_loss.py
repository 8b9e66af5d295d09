"""What a step of semi-supervised learning computes: the images it draws and the loss of them."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from infojax import losses, training
from infojax.data import images, randaugment
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.methods import freematch
from infojax.models.wide_resnet import WideResNet, head_of
from launch import classifier

LABELLED_TERMS = (
    "cross_entropy",
    "mutual_information",
    "entropy_difference",
    "mir",
    "hdr",
    "accuracy",
)
UNLABELLED_TERMS = (
    "unsupervised",
    "fairness",
    "threshold",
    "lowest_threshold",
    "mask_rate",
    "pseudo_label_accuracy",
)
_STREAMS = ("labelled", "labelled_crops", "unlabelled", "weak_crops", "strong_crops", "strong")


class Weights(NamedTuple):
    """Weights in the loss, float32 []."""

    unsupervised: jax.Array
    fairness: jax.Array
    mi: jax.Array
    id: jax.Array


class Data(NamedTuple):
    """What every replica holds during training.

    Attributes:
      images: all that are trained on, uint8 [n, h, w, channels].
      labels: int32 [n], -1 where unknown; those outside the labelled set serve to watch only.
      labelled: indices of the labelled set, int32 [num_labels].
      key: JAX random key of sampling and augmentation.
      weights: of the loss.
    """

    images: jax.Array
    labels: jax.Array
    labelled: jax.Array
    key: jax.Array
    weights: Weights


class Batch(NamedTuple):
    """A replica's share of a batch.

    Attributes:
      images: b labelled ones, then m weakly and m strongly augmented ones, uint8.
      labels: of the labelled ones, int32 [b].
      truth: labels of the others, -1 where unknown, int32 [m].
    """

    images: jax.Array
    labels: jax.Array
    truth: jax.Array


class Pseudo(NamedTuple):
    """Pseudo-labels int32 [m] of a replica's unlabelled images, and the mask float32 [m]."""

    labels: jax.Array
    mask: jax.Array


def make_loss(config: ConfigDict, model: WideResNet, data: images.ImageData) -> training.LossFn:
    """`CE + w_u L_u + w_f L_f - λ_mi I + λ_id |ΔH|` of a batch that is drawn here."""
    b = config.batch_size // jax.device_count()
    m = config.unlabelled_ratio * b

    def loss_fn(params, model_state, held: Data, index):
        batch = _drawn(config, held, index)
        (features, logits), statistics = model.apply(
            {"params": params, **statistics_of(model_state)},
            classifier.standardise(data, batch.images),
            train=True,
            mutable=["batch_stats"],
        )
        model_state = {**model_state, **statistics}
        loss, terms = _labelled_terms(logits[:b], batch.labels)
        z, y, mask = features[:b], batch.labels, jnp.ones(b, jnp.float32)
        if config.method != "supervised":
            weak, strong = logits[b : b + m], logits[b + m :]
            state, pseudo, found = _unlabelled_terms(
                config, model_state["freematch"], weak, strong, batch.truth
            )
            loss += held.weights.unsupervised * found["unsupervised"]
            loss += held.weights.fairness * found["fairness"]
            model_state["freematch"] = state
            terms |= found
            z = jnp.concatenate([z, features[b + m :]])
            y, mask = (jnp.concatenate(x) for x in ((y, pseudo.labels), (mask, pseudo.mask)))
        cost, found = _information_terms(z, y, mask, head_of(params)[0], held.weights)
        return loss + cost, (model_state, terms | found)

    return loss_fn


def _drawn(config: ConfigDict, held: Data, index: jax.Array) -> Batch:
    """This replica's images of a step; they do not depend on how many replicas there are."""
    keys = {name: jax.random.fold_in(held.key, i) for i, name in enumerate(_STREAMS)}
    replica = index * jax.device_count() + jax.lax.axis_index(training.AXIS)
    b = config.batch_size // jax.device_count()

    def crops(stream: str, rows: jax.Array, positions: jax.Array) -> jax.Array:
        pad, flip = config.crop_padding, config.flip
        return flip_and_crop(keys[stream], held.images, rows, positions, pad, flip)

    at = replica * b + jnp.arange(b, dtype=jnp.int32)
    rows = held.labelled[shuffled_epochs(keys["labelled"], at, len(held.labelled))]
    x, y = crops("labelled_crops", rows, at), held.labels[rows]
    if config.method == "supervised":
        return Batch(x, y, jnp.zeros(0, jnp.int32))
    m = config.unlabelled_ratio * b
    at = replica * m + jnp.arange(m, dtype=jnp.int32)
    rows = shuffled_epochs(keys["unlabelled"], at, len(held.images))
    weak, strong = crops("weak_crops", rows, at), crops("strong_crops", rows, at)
    strong = randaugment.augment(keys["strong"], strong, at)
    return Batch(jnp.concatenate([x, weak, strong]), y, held.labels[rows])


def _labelled_terms(logits: jax.Array, y: jax.Array) -> tuple[jax.Array, training.Terms]:
    ce = jnp.mean(losses.cross_entropy(logits, y))
    hits = (jnp.argmax(logits, -1) == y).astype(jnp.float32)
    return ce, {"cross_entropy": ce, "accuracy": jnp.mean(hits)}


def _unlabelled_terms(
    config: ConfigDict,
    state: freematch.State,
    weak: jax.Array,
    strong: jax.Array,
    truth: jax.Array,
) -> tuple[freematch.State, Pseudo, training.Terms]:
    """The next thresholds, what passes them, and its losses; FixMatch has no fairness loss."""
    q, axis = jax.nn.softmax(weak), training.AXIS
    if config.method == "freematch":
        state, mask, labels = freematch.update(state, q, axis, config.threshold_momentum)
        fairness = freematch.fairness_loss(state, strong, mask, axis)
        relative = jnp.min(state.expectations) / jnp.max(state.expectations)
        thresholds = state.threshold, state.threshold * relative
    else:
        state, mask, labels = freematch.fixed_threshold(state, q, axis, config.fixed_threshold)
        fairness = jnp.float32(0)
        thresholds = (jnp.float32(config.fixed_threshold),) * 2
    known = mask * (truth >= 0).astype(mask.dtype)
    right = known * (labels == truth).astype(mask.dtype)
    counts = jax.lax.psum((jnp.sum(right), jnp.sum(known)), axis)
    values = (
        freematch.unsupervised_loss(strong, labels, mask),
        fairness,
        *thresholds,
        jnp.mean(mask),
        counts[0] / jnp.maximum(counts[1], 1),
    )
    return state, Pseudo(labels, mask), dict(zip(UNLABELLED_TERMS, values, strict=True))


def _information_terms(
    z: jax.Array, y: jax.Array, mask: jax.Array, w: jax.Array, weights: Weights
) -> tuple[jax.Array, training.Terms]:
    """`-λ_mi I + λ_id |ΔH|` of the samples of all replicas that pass: zero rows do not count."""
    passing = mask[:, None]
    shared = losses.global_interplay(passing * z, passing * w[y], training.AXIS)
    difference = jnp.abs(shared.entropy_z - shared.entropy_v)
    terms = {
        "mutual_information": shared.mutual_information,
        "entropy_difference": difference,
        "mir": shared.mir,
        "hdr": shared.hdr,
    }
    return weights.id * difference - weights.mi * shared.mutual_information, terms


def statistics_of(model_state: training.ModelState) -> dict[str, Any]:
    """Of BatchNorm, without the thresholds."""
    return {"batch_stats": model_state["batch_stats"]}
