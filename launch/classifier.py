"""The network that classifies images and its update: model, loss and optimiser."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict

from infojax import losses, training
from infojax.data import images
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.models.wide_resnet import WideResNet, head_of
from infojax.training import evaluation

_TERMS = ("cross_entropy", "mutual_information", "entropy_difference", "mir", "hdr", "accuracy")
_SAMPLING, _AUGMENTATION = 0, 1  # streams of random numbers of a key of data


class Weights(NamedTuple):
    """Weights in the loss, float32 []."""

    smoothing: jax.Array
    mi: jax.Array
    id: jax.Array


class Data(NamedTuple):
    """What every replica holds during training.

    Attributes:
      images: uint8 [n, h, w, channels].
      labels: int32 [n].
      key: JAX random key of sampling and augmentation.
      weights: of the loss.
    """

    images: jax.Array
    labels: jax.Array
    key: jax.Array
    weights: Weights


def make_model(config: ConfigDict, num_classes: int) -> WideResNet:
    """Returns the network of a config."""
    return WideResNet(
        num_classes,
        config.depth,
        config.width,
        config.num_groups,
        config.first_stride,
        config.batchnorm_decay,
        training.AXIS if config.batchnorm_sync else None,
        jnp.dtype(config.compute_dtype),
    )


def make_forward(model: WideResNet, data: images.ImageData) -> evaluation.Forward:
    """Returns the network in evaluation: uint8 images to features and logits."""

    def forward(params, model_state, batch):
        return model.apply({"params": params, **model_state}, standardise(data, batch), train=False)

    return forward


def standardise(data: images.ImageData, batch: jax.Array) -> jax.Array:
    """Images of uint8 to float32 of mean 0 and variance 1 in each channel."""
    scale, shift = 1 / (255 * data.std), data.mean / data.std
    return batch.astype(jnp.float32) * scale[None, None, None] - shift[None, None, None]


def make_update(config: ConfigDict, model: WideResNet, data: images.ImageData) -> training.Update:
    """Returns loss, optimiser and what else makes an update."""
    return training.Update(
        _make_loss(config, model, data),
        make_optimizer(config),
        config.ema_decay or None,
        config.accumulate_steps,
        _TERMS,
    )


def make_optimizer(config: ConfigDict) -> optax.GradientTransformation:
    """SGD with Nesterov momentum, coupled weight decay of kernels, and 7/16 of a cosine.

    Learning rate and weight decay are part of its state, so that one compiled step serves all.
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


def _make_loss(config: ConfigDict, model: WideResNet, data: images.ImageData) -> training.LossFn:
    """`CE - λ_mi I + λ_id |ΔH|` of a batch that is drawn here; with "ratios", MIR and HDR."""
    size = config.batch_size // (config.accumulate_steps * jax.device_count())
    n, ratios = len(data.train.labels), config.information_terms == "ratios"

    def loss_fn(params, model_state, held: Data, index):
        replica = index * jax.device_count() + jax.lax.axis_index(training.AXIS)
        positions = replica * size + jnp.arange(size, dtype=jnp.int32)
        rows = shuffled_epochs(jax.random.fold_in(held.key, _SAMPLING), positions, n)
        augmentation = jax.random.fold_in(held.key, _AUGMENTATION)
        batch = flip_and_crop(
            augmentation, held.images, rows, positions, config.crop_padding, config.flip
        )
        y = held.labels[rows]
        (z, logits), model_state = model.apply(
            {"params": params, **model_state},
            standardise(data, batch),
            train=True,
            mutable=["batch_stats"],
        )
        ce = jnp.mean(losses.cross_entropy(logits, y, held.weights.smoothing))
        shared = losses.global_interplay(z, head_of(params)[0][y], training.AXIS)
        difference = jnp.abs(shared.entropy_z - shared.entropy_v)
        gain, cost = (shared.mir, shared.hdr) if ratios else (shared.mutual_information, difference)
        loss = ce - held.weights.mi * gain + held.weights.id * cost
        accuracy = jnp.mean((jnp.argmax(logits, -1) == y).astype(jnp.float32))
        values = (ce, shared.mutual_information, difference, shared.mir, shared.hdr, accuracy)
        return loss, (model_state, dict(zip(_TERMS, values, strict=True)))

    return loss_fn
