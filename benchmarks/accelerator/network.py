"""WideResNet and its update on the device: data, draw, step and records in one dispatch.

`launch` assembles the same from a config; this needs no ml_collections. The information terms are
part of every step only where the loss has them; elsewhere they are computed when recorded.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.accelerator.recipes import Recipe
from infojax import information, losses, training
from infojax.data import images
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.models import classifier
from infojax.models.wide_resnet import WideResNet
from infojax.training import evaluation

_SAMPLING, _AUGMENTATION = 0, 1  # random streams of a source's key


class Program(NamedTuple):
    """A network and how it is trained.

    Attributes:
      model: the network.
      update: loss and optimiser.
      size: images of a step on one device.
    """

    model: classifier.Classifier
    update: training.Update
    size: int


class Source(NamedTuple):
    """What a step draws from.

    Attributes:
      images: uint8 [n, h, w, channels].
      labels: int32 [n].
      key: of the run.
      rows: of the step on this device, int32 [b]; None if the step draws them itself.
    """

    images: jax.Array
    labels: jax.Array
    key: jax.Array
    rows: jax.Array | None = None


def build(recipe: Recipe, data: images.ImageData) -> Program:
    """Returns the network and the update of a recipe."""
    module = WideResNet(
        data.num_classes,
        recipe.depth,
        recipe.width,
        decay=recipe.batchnorm_decay,
        axis_name=training.AXIS,
        dtype=jnp.dtype(recipe.dtype),
        form=recipe.form,
    )
    model = classifier.of_linen(module)
    size = recipe.batch_size // jax.device_count()
    update = training.Update(
        _make_loss(recipe, model, data, size), make_optimizer(recipe), recipe.ema_decay
    )
    return Program(model, update, size)


def make_optimizer(recipe: Recipe) -> optax.GradientTransformation:
    """SGD with Nesterov momentum, coupled weight decay of kernels, and 7/16 of a cosine."""

    def schedule(count):
        share = count.astype(jnp.float32) / recipe.num_steps
        return recipe.learning_rate * jnp.cos(7 * jnp.pi / 16 * share)

    kernels = lambda params: jax.tree.map(lambda p: p.ndim > 1, params)  # noqa: E731
    return optax.chain(
        optax.add_decayed_weights(recipe.weight_decay, mask=kernels),
        optax.sgd(schedule, recipe.momentum, nesterov=True),
    )


def _make_loss(
    recipe: Recipe, model: classifier.Classifier, data: images.ImageData, size: int
) -> training.LossFn:
    """`CE - λ_mi I + λ_id |ΔH|`; features and head rows of the batch are among the terms."""
    informed = recipe.mi_weight != 0 or recipe.id_weight != 0

    def loss_fn(params, model_state, source: Source, index):
        positions = _positions(index, size)
        rows = _rows(source, positions) if source.rows is None else source.rows
        key = jax.random.fold_in(source.key, _AUGMENTATION)
        batch = flip_and_crop(key, source.images, rows, positions, recipe.crop_padding, recipe.flip)
        y = source.labels[rows]
        z, logits, state = model.apply(params, model_state, standardise(data, batch), True)
        loss = ce = jnp.mean(losses.cross_entropy(logits, y, recipe.label_smoothing))
        v = model.head_of(params)[0][y]
        if informed:
            weights = recipe.mi_weight, recipe.id_weight
            loss = ce + losses.information_loss(z, v, *weights, training.AXIS)
        hits = jnp.mean((jnp.argmax(logits, -1) == y).astype(jnp.float32))
        z, v = jax.lax.all_gather((z, v), training.AXIS, tiled=True)
        return loss, (state, {"cross_entropy": ce, "accuracy": hits, "z": z, "v": v})

    return loss_fn


def _positions(index: jax.Array, size: int) -> jax.Array:
    """Positions of this device's share of a step in the sequence of all images drawn."""
    replica = index * jax.device_count() + jax.lax.axis_index(training.AXIS)
    return replica * size + jnp.arange(size, dtype=jnp.int32)


def _rows(source: Source, positions: jax.Array) -> jax.Array:
    key = jax.random.fold_in(source.key, _SAMPLING)
    return shuffled_epochs(key, positions, source.labels.shape[0])


def standardise(data: images.ImageData, batch: jax.Array) -> jax.Array:
    """Images of uint8 to float32 of mean 0 and variance 1 in each channel."""
    scale, shift = 1 / (255 * data.std), data.mean / data.std
    return batch.astype(jnp.float32) * scale[None, None, None] - shift[None, None, None]


def init_state(program: Program, data: images.ImageData, seed: int) -> training.TrainState:
    """Returns a seed's state before training."""
    example = np.zeros((1, *data.train.images.shape[1:]), np.float32)
    params, model_state = jax.jit(program.model.init)(jax.random.key(seed), example)
    state = training.init_state(program.update, params, model_state)
    source = make_source(data, seed)
    one = jax.tree.map(lambda x: x[0], source)
    shapes = jax.eval_shape(
        jax.vmap(program.update.loss_fn, in_axes=None, axis_name=training.AXIS, axis_size=1),
        *(params, model_state, one, jnp.int32(0)),
    )
    copies = jax.device_count()
    terms = {
        name: jnp.zeros((copies * x.shape[1], *x.shape[2:]) if x.ndim > 1 else (), x.dtype)
        for name, x in shapes[1][1].items()
    }
    with_terms: training.TrainState = state.replace(terms=terms)
    return with_terms


def make_source(data: images.ImageData, seed: int, stream: int = 1) -> Source:
    """Puts the training images and a seed's key on every device."""
    key = jax.random.fold_in(jax.random.key(seed), stream)
    x, y = (jnp.asarray(array) for array in data.train)
    source: Source = training.replicate(Source(x, y, key))
    return source


def make_advance(program: Program, steps: int, every: int) -> Any:
    """Returns `advance(state, source)`: many updates in one dispatch, and records of them.

    The loops have fixed lengths, and the rows of a block of steps are drawn before it, since that
    loops until all are within the data set: within a block the host has no condition to wait for.

    Args:
      program: the network and its update.
      steps: updates in a dispatch, a multiple of every.
      every: steps between records.

    Returns:
      A function under pmap, whose state is donated; its second result holds the terms of the loss
      and the interplay of the batch of every recorded step, each [devices, steps / every].
    """

    def advance(state, source):
        def one(state, rows):
            return training.train_step(state, source._replace(rows=rows), program.update), None

        def block(state, _):
            indices = state.step + jnp.arange(every, dtype=jnp.int32)
            positions = jax.vmap(_positions, (0, None))(indices, program.size)
            rows = _rows(source, positions.ravel()).reshape(positions.shape)
            state, _ = jax.lax.scan(one, state, rows)
            return state, _record(state)

        return jax.lax.scan(block, state, length=steps // every)

    return jax.pmap(advance, axis_name=training.AXIS, donate_argnums=0)


def _record(state: training.TrainState) -> dict[str, jax.Array]:
    z, v = state.terms["z"], state.terms["v"]
    terms = {"loss": state.loss, **{k: state.terms[k] for k in ("cross_entropy", "accuracy")}}
    return terms | information.interplay(z, v)._asdict()


def make_forward(program: Program, data: images.ImageData) -> evaluation.Forward:
    """Returns the network in evaluation: uint8 images to features and logits."""

    def forward(params, model_state, batch):
        z, logits, _ = program.model.apply(params, model_state, standardise(data, batch), False)
        return z, logits

    return forward


def random_images(n: int, side: int) -> images.ImageData:
    """Random images of ten classes; the order of one batch does not change its mean loss."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (n, side, side, 3), np.uint8)
    split = images.Split(x, rng.integers(0, 10, n).astype(np.int32))
    moments = np.full(3, 0.5, np.float32), np.full(3, 0.29, np.float32)
    return images.ImageData(split, split, 10, *moments)
