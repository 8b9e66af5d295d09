"""Exact evaluation of a split on all devices: accuracy, loss, MIR and HDR by batch and population.

A forward function maps `(params, model_state, images)` to features [n, d] and logits [n, C].
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax import (
    Interplay,
    collapse,
    corrected_mir,
    information,
    losses,
    population,
    training,
)
from infojax.data import streaming
from infojax.data.images import Split
from infojax.data.stored import StoredImages
from infojax.population.statistics import Statistics

Forward = Callable[[training.Params, training.ModelState, jax.Array], tuple[jax.Array, jax.Array]]
_IN_FLIGHT = 4  # chunks that the devices may lag behind, where these are streamed

HeadOf = Callable[[training.Params], tuple[jax.Array, jax.Array]]


class Shards(NamedTuple):
    """A split over devices, in chunks of one forward pass; padding is labelled -1.

    Attributes:
      images: chunks of uint8 [devices, size, h, w, channels]; of stored images, read each time.
      labels: int32 [devices, chunks * size].
    """

    images: Iterable[jax.Array]
    labels: jax.Array


class Metrics(NamedTuple):
    """Which metrics `make_measure` computes.

    Attributes:
      batch_sizes: sizes of the batches whose MIR, HDR and entropies are averaged; divisors of the
        chunk size.
      population: whether to measure the whole split too (statistics, neural collapse).
      rtol: relative standard error of the population MIR, where it is estimated.
      alpha: order of the entropies.
      chance_permutations: of the labels of batches, for the chance level of MIR; 0: none. The whole
        split's is added where it is known, at alpha = 1 and 2.
    """

    batch_sizes: tuple[int, ...]
    population: bool
    rtol: float = 1e-3
    alpha: float = 1.0
    chance_permutations: int = 0


def shard(split: Split, size: int) -> Shards:
    """Puts a split on devices, padded to chunks of `size` images.

    Chunks are assigned in order, so that the batches within them are the same for any number of
    devices.

    Args:
      split: images and labels.
      size: images of one forward pass on one device.

    Returns:
      One shard per device of this process; with several processes, each holds its part.
    """
    n = len(split.labels)
    total = jax.device_count()
    chunks = -(-n // (size * total))
    mine = np.arange(total * chunks * size).reshape(jax.process_count(), -1)[jax.process_index()]
    index = np.minimum(mine, n - 1)
    labels = np.where(mine < n, split.labels[index], -1).astype(np.int32)
    k = jax.local_device_count()
    rows = index.reshape(k, chunks, size).swapaxes(0, 1)
    if isinstance(split.images, StoredImages):
        images: Iterable[jax.Array] = _StoredChunks(split.images, rows)
    else:
        images = [training.put_shards(split.images[own]) for own in rows]
    return Shards(images, training.put_shards(labels.reshape(k, chunks * size)))


class _StoredChunks:
    """Chunks that every iteration reads, with rows int [chunks, devices, size]."""

    def __init__(self, images: StoredImages, rows: np.ndarray) -> None:
        self._images, self._rows = images, rows

    def __iter__(self) -> Iterator[jax.Array]:
        read = lambda chunk: self._images[self._rows[chunk]]  # noqa: E731
        return map(training.put_shards, streaming.ahead(read, 0, len(self._rows)))


def make_measure(
    forward: Forward, head_of: HeadOf, metrics: Metrics
) -> Callable[[str, training.Params, training.ModelState, Shards], training.Metrics]:
    """Returns `measure(name, params, model_state, shards)`, exact over the split.

    Args:
      forward: features and logits of images.
      head_of: rows [C, d] and biases [C] of the head, from parameters.
      metrics: what to measure.

    Returns:
      A function of the split's name and of arguments with a leading device axis, which returns
      metrics by name: `name/accuracy`, `name/loss`, `name/mir_64` and so on.
    """
    run = training.mapped(forward)  # one dispatch per chunk: see training.make_train_step
    collect = training.mapped(functools.partial(_collect, head_of, metrics))
    summarise = jax.jit(functools.partial(_of_statistics, metrics))

    def measure(
        name: str, params: training.Params, model_state: training.ModelState, shards: Shards
    ) -> training.Metrics:
        outputs: list[tuple[jax.Array, jax.Array]] = []
        for images in shards.images:
            outputs.append(run(params, model_state, images))
            if len(outputs) >= _IN_FLIGHT:
                jax.block_until_ready(outputs[-_IN_FLIGHT])
        found, statistics = training.single(collect(params, outputs, shards.labels))
        if statistics is not None:
            head = jax.device_get(head_of(training.single(params)))
            found = found | summarise(jax.device_get(statistics), *head)
        return {f"{name}/{key}": float(value) for key, value in found.items()}

    return measure


def _collect(
    head_of: HeadOf,
    metrics: Metrics,
    params: training.Params,
    outputs: list[tuple[jax.Array, jax.Array]],
    labels: jax.Array,
) -> tuple[dict[str, jax.Array], Statistics | None]:
    """Returns means over samples and batches, and the statistics of the split if requested."""
    features, logits = (jnp.concatenate(chunks) for chunks in zip(*outputs, strict=True))
    head, _ = head_of(params)
    counted = labels >= 0
    known = jnp.maximum(labels, 0)
    hits = jnp.where(counted, jnp.argmax(logits, -1) == labels, False)
    loss = jnp.where(counted, losses.cross_entropy(logits, known), 0)
    count = jax.lax.psum(jnp.sum(counted), training.AXIS)
    total = jax.lax.psum((jnp.sum(hits), jnp.sum(loss)), training.AXIS)
    found = {"accuracy": total[0] / count, "loss": total[1] / count.astype(jnp.float32)}
    interplay = lambda z, y: information.sample_interplay(z, y, head, metrics.alpha)  # noqa: E731
    for n in metrics.batch_sizes:
        mean = mean_interplay(n, interplay, (features, known), counted)
        found[f"mir_{n}"], found[f"hdr_{n}"] = mean.mir, mean.hdr
        found[f"entropy_features_{n}"] = mean.entropy_z
        found[f"entropy_head_{n}"] = mean.entropy_v
        if metrics.chance_permutations:
            arrays, number = (features, known), metrics.chance_permutations
            found |= beside_chance(
                f"mir_{n}", mean.mir, chance_mir(n, interplay, arrays, counted, number)
            )
    if not metrics.population:
        return found, None
    num_classes, d = head.shape
    statistics = Statistics.zeros(num_classes, d).update(features, known, counted)
    return found, statistics.psum(training.AXIS)


def mean_interplay(
    n: int,
    interplay: Callable[..., Interplay],
    arrays: Sequence[jax.Array],
    counted: jax.Array,
) -> Interplay:
    """Averages over the batches of a split; a collective, to be called under `training.mapped`.

    Args:
      n: samples per batch, a divisor of m.
      interplay: function of one batch of the arrays, each [n, ...].
      arrays: this device's samples, each [m, ...].
      counted: bool [m], False for padding; a batch with padding is ignored.

    Returns:
      The mean over the full batches of all devices.
    """
    batches = tuple(x.reshape(-1, n, *x.shape[1:]) for x in arrays)
    full = jnp.all(counted.reshape(-1, n), 1)
    shared = jax.lax.map(lambda batch: interplay(*batch), batches)
    sums = [jnp.sum(jnp.where(full, x, 0)) for x in shared]
    *sums, count = jax.lax.psum([*sums, jnp.sum(full).astype(jnp.float32)], training.AXIS)
    return Interplay(*(x / count for x in sums))


def chance_mir(
    n: int,
    interplay: Callable[..., Interplay],
    arrays: Sequence[jax.Array],
    counted: jax.Array,
    number: int,
) -> jax.Array:
    """Mean MIR of batches in which the rows of the last array are permuted; a collective.

    Permutations go to the full batches in turn, one each, until `number` are measured. They are the
    same at every evaluation and for any number of devices.

    Args:
      n: as in `mean_interplay`.
      interplay: as in `mean_interplay`.
      arrays: as in `mean_interplay`, such as features and labels.
      counted: as in `mean_interplay`.
      number: of permutations.

    Returns:
      Float [].
    """
    batches = tuple(x.reshape(-1, n, *x.shape[1:]) for x in arrays)
    full = jax.lax.psum(jnp.sum(jnp.all(counted.reshape(-1, n), 1)), training.AXIS)
    own = len(batches[0])
    first = jax.lax.axis_index(training.AXIS) * own

    def permuted(i: jax.Array) -> jax.Array:
        at = i % jnp.maximum(full, 1) - first
        mine = (at >= 0) & (at < own)
        mir = permuted_mir(interplay, [x[jnp.clip(at, 0, own - 1)] for x in batches], i)
        return jnp.where(mine, mir, 0)

    total: jax.Array = jax.lax.psum(
        jnp.sum(jax.lax.map(permuted, jnp.arange(number))), training.AXIS
    )
    return total / number


def permuted_mir(
    interplay: Callable[..., Interplay], batch: Sequence[jax.Array], i: jax.Array
) -> jax.Array:
    """MIR of a batch with the rows of its last array in the i-th random order."""
    *others, last = batch
    key = jax.random.fold_in(jax.random.key(0), i)
    return interplay(*others, jax.random.permutation(key, last)).mir


def beside_chance(name: str, mir: jax.Array, chance: jax.Array) -> dict[str, jax.Array]:
    """The chance level and the corrected value of the MIR under a name, such as `mir_64`."""
    prefix, quantity, size = name.partition("mir")
    return {
        f"{prefix}chance_{quantity}{size}": chance,
        f"{prefix}corrected_{quantity}{size}": corrected_mir(mir, chance),
    }


def _of_statistics(
    metrics: Metrics, statistics: Statistics, w: jax.Array, b: jax.Array
) -> dict[str, jax.Array]:
    whole = population.interplay(statistics, w, metrics.alpha, rtol=metrics.rtol)
    by_class = population.class_interplay(statistics, w, metrics.alpha)
    collapsed = collapse.neural_collapse(statistics, w, b)
    chance = (
        population_chance(statistics, w, whole.mir, metrics.alpha)
        if metrics.chance_permutations
        else {}
    )
    return {
        **chance,
        "population_mir": whole.mir,
        "population_mir_error": whole.standard_error.mir,
        "population_hdr": whole.hdr,
        "entropy_features": whole.entropy_z,
        "entropy_head": whole.entropy_v,
        "class_mir": by_class.mir,
        "class_hdr": by_class.hdr,
        **collapsed._asdict(),
    }


def population_chance(
    statistics: Statistics, w: jax.Array, mir: jax.Array, alpha: float = 1.0
) -> dict[str, jax.Array]:
    """The chance level beside the MIR of a whole split; empty at orders where it is not known."""
    if alpha not in (1, 2):
        return {}
    level = population.chance_level(statistics, w, alpha)
    return beside_chance("population_mir", mir, level.mir)
