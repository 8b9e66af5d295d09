"""Updates of image classifiers: the batch that a step draws, its loss, and the optimiser."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from infojax import losses, spectrum, squarings, training
from infojax.data import images
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.errors import UserError
from infojax.matrices import Interplay
from infojax.models.classifier import Classifier

ENTROPIES = {"eigenvalues": spectrum.product_entropy, "squarings": squarings.product_entropy}
INFORMATION_TERMS = ("mutual_information", "entropy_difference", "mir", "hdr")
_TERMS = ("cross_entropy", *INFORMATION_TERMS, "accuracy")
WHY_NOT_LONGER = "the learning rate follows a cosine over num_steps"
_OF_IMAGES = ("wide_resnet", "vit")  # models that need more than one pixel
SAMPLING, _AUGMENTATION = 0, 1  # random streams of a source's key


class Weights(NamedTuple):
    """Label smoothing, λ_mi and λ_id of the loss, float32 []."""

    smoothing: jax.Array
    mi: jax.Array
    id: jax.Array


class Source(NamedTuple):
    """What every replica draws its share of a batch from.

    Attributes:
      images: as `images.Split` holds them; of streamed images, this replica's share of the batch.
      labels: int32 [n], of these images.
      key: JAX random key of sampling and augmentation.
      weights: of the loss.
    """

    images: jax.Array
    labels: jax.Array
    key: jax.Array
    weights: Weights


def make_update(config: ConfigDict, model: Classifier, data: images.ImageData) -> training.Update:
    """Returns the update of supervised training."""
    return training.Update(
        _make_loss(config, model, data),
        make_optimizer(config),
        config.ema_decay or None,
        config.accumulate_steps,
        _TERMS,
    )


def check_inputs(config: ConfigDict, data: images.ImageData) -> None:
    """Raises UserError for data that no network learns, or settings that do not fit them."""
    if data.num_classes < 2:
        raise UserError(f"all images of {config.dataset} are of one class; at least 2 are needed")
    h, w, channels = data.train.images.shape[1:]
    if data.of_embeddings:
        fitting: dict[str, Any] = {"crop_padding": 0, "flip": False}
        if config.model in _OF_IMAGES:
            fitting = {"model": "mlp", **fitting}
        changes = [f"--config.{k}={value}" for k, value in fitting.items() if config[k] != value]
        if changes:
            raise UserError(
                f"{config.dataset} holds embeddings of {channels} numbers, not images: set "
                f"{' '.join(changes)}"
            )
    elif config.crop_padding >= min(h, w):
        raise UserError(
            f"crop_padding = {config.crop_padding} must be below height and width of the images, "
            f"{h} x {w}"
        )


def standardise(data: images.ImageData, batch: jax.Array) -> jax.Array:
    """Converts uint8 images, or embeddings, to float32 of mean 0 and variance 1 in each channel."""
    if jnp.issubdtype(batch.dtype, jnp.floating):
        return (batch - data.mean[None, None, None]) / data.std[None, None, None]
    scale, shift = 1 / (255 * data.std), data.mean / data.std
    return batch.astype(jnp.float32) * scale[None, None, None] - shift[None, None, None]


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """SGD with Nesterov momentum, coupled weight decay of kernels, and 7/16 of a cosine.

    Learning rate and weight decay are part of its state: one compiled step serves all values.
    """

    def sgd(learning_rate, weight_decay):
        def schedule(count):
            share = count.astype(jnp.float32) / config.num_steps
            return learning_rate * jnp.cos(7 * jnp.pi / 16 * share)

        kernels = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)  # noqa: E731
        return optax.chain(
            optax.add_decayed_weights(weight_decay, mask=kernels),
            optax.sgd(schedule, config.momentum, nesterov=True),
        )

    return optax.inject_hyperparams(sgd)(
        learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )


def _make_loss(config: ConfigDict, model: Classifier, data: images.ImageData) -> training.LossFn:
    """`CE - λ_mi I + λ_id |ΔH|` of a batch that is drawn here; with "ratios", MIR and HDR."""
    size = config.batch_size // (config.accumulate_steps * jax.device_count())
    entropy = ENTROPIES[config.information_entropy]
    n, ratios = len(data.train.labels), config.information_terms == "ratios"

    def loss_fn(params, model_state, source: Source, index):
        positions = positions_of_replica(index, size)
        if config.stream:  # the parts of the batch, one after another
            rows = index % config.accumulate_steps * size + jnp.arange(size, dtype=jnp.int32)
        else:
            rows = shuffled_epochs(jax.random.fold_in(source.key, SAMPLING), positions, n)
        augmentation = jax.random.fold_in(source.key, _AUGMENTATION)
        batch = flip_and_crop(
            augmentation, source.images, rows, positions, config.crop_padding, config.flip
        )
        y, weights = source.labels[rows], source.weights
        z, logits, model_state = model.apply(params, model_state, standardise(data, batch), True)
        ce = jnp.mean(losses.cross_entropy(logits, y, weights.smoothing))
        targets = model.head_of(params)[0][y]
        shared = losses.global_interplay(z, targets, training.AXIS, entropy=entropy)
        terms = information_terms(shared)
        gain, cost = ("mir", "hdr") if ratios else INFORMATION_TERMS[:2]
        loss = ce - weights.mi * terms[gain] + weights.id * terms[cost]
        return loss, (model_state, {"cross_entropy": ce, **terms, "accuracy": accuracy(logits, y)})

    return loss_fn


def positions_of_replica(index: jax.Array, size: int) -> jax.Array:
    """Positions [size] of this replica's share of a batch in the stream of all samples."""
    replica = index * jax.device_count() + jax.lax.axis_index(training.AXIS)
    return replica * size + jnp.arange(size, dtype=jnp.int32)


def information_terms(shared: Interplay) -> training.Terms:
    """The terms of information losses, by name."""
    difference = jnp.abs(shared.entropy_z - shared.entropy_v)
    values = (shared.mutual_information, difference, shared.mir, shared.hdr)
    return dict(zip(INFORMATION_TERMS, values, strict=True))


def accuracy(logits: jax.Array, y: jax.Array) -> jax.Array:
    """Share of the samples whose largest logit belongs to their label, float32 []."""
    return jnp.mean((jnp.argmax(logits, -1) == y).astype(jnp.float32))
