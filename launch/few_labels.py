"""What a step of semi-supervised learning computes: the images it draws and their loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from infojax import losses, training
from infojax.data import images, randaugment
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.methods import freematch
from infojax.models.classifier import Classifier
from launch import updates

METHODS = ("supervised", "fixmatch", "freematch")
_LABELLED_TERMS = ("cross_entropy", *updates.INFORMATION_TERMS, "accuracy")
_UNLABELLED_TERMS = (
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


class Source(NamedTuple):
    """What every replica draws its share of a batch from.

    Attributes:
      images: all training images, uint8 [n, h, w, channels].
      labels: int32 [n], -1 where unknown; outside the labelled set they are only monitored.
      labelled: indices of the labelled set, int32 [num_labels].
      key: JAX random key of sampling and augmentation.
      weights: of the loss.
    """

    images: jax.Array
    labels: jax.Array
    labelled: jax.Array
    key: jax.Array
    weights: Weights


class _Batch(NamedTuple):
    """A replica's share of a batch.

    Attributes:
      images: b labelled, then m weakly and m strongly augmented images, uint8.
      labels: of the labelled images, int32 [b].
      truth: labels of the unlabelled images, -1 where unknown, int32 [m].
    """

    images: jax.Array
    labels: jax.Array
    truth: jax.Array


class _Pseudo(NamedTuple):
    """Pseudo-labels int32 [m] of a replica's unlabelled images, and the mask float32 [m]."""

    labels: jax.Array
    mask: jax.Array


def make_update(config: ConfigDict, model: Classifier, data: images.ImageData) -> training.Update:
    """Returns the update of semi-supervised training."""
    terms = _LABELLED_TERMS + _UNLABELLED_TERMS * (config.method != "supervised")
    return training.Update(
        _make_loss(config, model, data),
        updates.make_optimizer(config),
        config.ema_decay or None,
        terms=terms,
    )


def _make_loss(config: ConfigDict, model: Classifier, data: images.ImageData) -> training.LossFn:
    """`CE + w_u L_u + w_f L_f - λ_mi I + λ_id |ΔH|` of a batch that is drawn here."""
    b = config.batch_size // jax.device_count()
    m = config.unlabelled_ratio * b
    entropy = updates.ENTROPIES[config.information_entropy]

    def loss_fn(params, model_state, source: Source, index):
        batch = _drawn(config, source, index)
        inputs = updates.standardise(data, batch.images)
        features, logits, model_state = model.apply(params, model_state, inputs, True)
        y, mask, z = batch.labels, jnp.ones(b, jnp.float32), features[:b]
        loss = jnp.mean(losses.cross_entropy(logits[:b], y))
        terms = {"cross_entropy": loss, "accuracy": updates.accuracy(logits[:b], y)}
        if config.method != "supervised":
            weak, strong = logits[b : b + m], logits[b + m :]
            state, pseudo, found = _unlabelled_terms(
                config, model_state["freematch"], weak, strong, batch.truth
            )
            loss += source.weights.unsupervised * found["unsupervised"]
            loss += source.weights.fairness * found["fairness"]
            model_state = model_state | {"freematch": state}
            terms |= found
            z = jnp.concatenate([z, features[b + m :]])
            y, mask = (jnp.concatenate(x) for x in ((y, pseudo.labels), (mask, pseudo.mask)))
        passing, targets = mask[:, None], model.head_of(params)[0][y]  # zero rows do not count
        shared = losses.global_interplay(
            passing * z, passing * targets, training.AXIS, entropy=entropy
        )
        information = updates.information_terms(shared)
        loss += (
            source.weights.id * information["entropy_difference"]
            - source.weights.mi * information["mutual_information"]
        )
        return loss, (model_state, terms | information)

    return loss_fn


def _drawn(config: ConfigDict, source: Source, index: jax.Array) -> _Batch:
    """This replica's images of a step; the global batch does not depend on the device count."""
    keys = {name: jax.random.fold_in(source.key, i) for i, name in enumerate(_STREAMS)}
    b = config.batch_size // jax.device_count()

    def crops(stream: str, rows: jax.Array, positions: jax.Array) -> jax.Array:
        pad, flip = config.crop_padding, config.flip
        return flip_and_crop(keys[stream], source.images, rows, positions, pad, flip)

    at = updates.positions_of_replica(index, b)
    rows = source.labelled[shuffled_epochs(keys["labelled"], at, len(source.labelled))]
    x, y = crops("labelled_crops", rows, at), source.labels[rows]
    if config.method == "supervised":
        return _Batch(x, y, jnp.zeros(0, jnp.int32))
    at = updates.positions_of_replica(index, config.unlabelled_ratio * b)
    rows = shuffled_epochs(keys["unlabelled"], at, len(source.images))
    weak, strong = crops("weak_crops", rows, at), crops("strong_crops", rows, at)
    strong = randaugment.augment(keys["strong"], strong, at)
    return _Batch(jnp.concatenate([x, weak, strong]), y, source.labels[rows])


def _unlabelled_terms(
    config: ConfigDict,
    state: freematch.State,
    weak: jax.Array,
    strong: jax.Array,
    truth: jax.Array,
) -> tuple[freematch.State, _Pseudo, training.Terms]:
    """The next thresholds, the pseudo-labels that pass, their losses; FixMatch has no fairness."""
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
    return state, _Pseudo(labels, mask), dict(zip(_UNLABELLED_TERMS, values, strict=True))
