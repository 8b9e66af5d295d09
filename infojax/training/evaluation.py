"""Exact evaluation of a split on all devices: accuracy, loss, MIR and HDR by batch and population.

A forward function takes `(params, model_state, images)` to features [n, d] and logits [n, C].
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax import collapse, information, losses, population, training
from infojax.data.images import Split
from infojax.population.statistics import Statistics

Forward = Callable[[Any, Any, jax.Array], tuple[jax.Array, jax.Array]]
HeadOf = Callable[[Any], tuple[jax.Array, jax.Array]]


class Shards(NamedTuple):
    """A split over devices, in chunks of one forward pass; padding has the label -1.

    Attributes:
      images: chunks of uint8 [devices, size, h, w, channels].
      labels: int32 [devices, chunks * size].
    """

    images: list[jax.Array]
    labels: jax.Array


class Metrics(NamedTuple):
    """What `make_measure` needs to know of what is to be measured.

    Attributes:
      batch_sizes: sizes of the batches whose MIR, HDR and entropies are averaged; divisors of the
        chunk's size.
      population: whether to measure the whole split too (statistics, neural collapse).
      rtol: relative standard error of the population's MIR, where it is estimated.
    """

    batch_sizes: tuple[int, ...]
    population: bool
    rtol: float = 1e-3


def shard(split: Split, size: int) -> Shards:
    """Puts a split on devices, padded to chunks of `size` images.

    Chunks are dealt in order, so that the batches within them are the same on any number of
    devices.

    Args:
      split: images and labels.
      size: images of one forward pass on one device.

    Returns:
      The shards, one a device of this process; with several processes, each holds its part.
    """
    n = len(split.labels)
    total = jax.device_count()
    chunks = -(-n // (size * total))
    mine = np.arange(total * chunks * size).reshape(jax.process_count(), -1)[jax.process_index()]
    index = np.minimum(mine, n - 1)
    labels = np.where(mine < n, split.labels[index], -1).astype(np.int32)
    k = jax.local_device_count()
    images = split.images[index].reshape(k, chunks, size, *split.images.shape[1:])
    return Shards(
        [training.put_shards(images[:, i]) for i in range(chunks)],
        training.put_shards(labels.reshape(k, chunks * size)),
    )


def make_measure(
    forward: Forward, head_of: HeadOf, metrics: Metrics
) -> Callable[[str, Any, Any, Shards], dict[str, float]]:
    """Returns `measure(name, params, model_state, shards)`, all of whose numbers are exact.

    Args:
      forward: features and logits of images.
      head_of: rows [C, d] and biases [C] of the head, from parameters.
      metrics: what to measure.

    Returns:
      A function of the split's name and of arguments with a leading axis of devices, which
      returns metrics by name, `name/accuracy`, `name/loss`, `name/mir_64` and so on.
    """
    run = training.mapped(forward)  # chunk by chunk from here: see training.make_train_step
    collect = training.mapped(functools.partial(_collect, head_of, metrics))
    summarise = jax.jit(functools.partial(_of_statistics, metrics.rtol))

    def measure(name: str, params: Any, model_state: Any, shards: Shards) -> dict[str, float]:
        outputs = [run(params, model_state, images) for images in shards.images]
        found, statistics = training.single(collect(params, outputs, shards.labels))
        if statistics is not None:
            head = jax.device_get(head_of(training.single(params)))
            found = found | summarise(jax.device_get(statistics), *head)
        return {f"{name}/{key}": float(value) for key, value in found.items()}

    return measure


def _collect(head_of: HeadOf, metrics: Metrics, params, outputs, labels: jax.Array):
    """Metrics that are means over samples or batches, and the statistics of the split."""
    features, logits = (jnp.concatenate(chunks) for chunks in zip(*outputs, strict=True))
    head, _ = head_of(params)
    counted = labels >= 0
    known = jnp.maximum(labels, 0)
    hits = jnp.where(counted, jnp.argmax(logits, -1) == labels, False)
    loss = jnp.where(counted, losses.cross_entropy(logits, known), 0)
    count = jax.lax.psum(jnp.sum(counted), training.AXIS)
    total = jax.lax.psum((jnp.sum(hits), jnp.sum(loss)), training.AXIS)
    found = {"accuracy": total[0] / count, "loss": total[1] / count.astype(jnp.float32)}
    for n in metrics.batch_sizes:
        found |= _by_batch(n, features, known, counted, head)
    if not metrics.population:
        return found, None
    statistics = Statistics.zeros(*head.shape).update(features, known, counted)
    return found, statistics.psum(training.AXIS)


def _by_batch(n: int, features, labels, counted, head) -> dict[str, jax.Array]:
    """Means over all batches of n samples of the split; what is left over makes no batch."""
    z = features.reshape(-1, n, features.shape[-1])
    y = labels.reshape(-1, n)
    full = jnp.all(counted.reshape(-1, n), 1)
    shared = jax.lax.map(lambda x: information.sample_interplay(x[0], x[1], head), (z, y))
    sums = [jnp.sum(jnp.where(full, x, 0)) for x in shared]
    *sums, count = jax.lax.psum([*sums, jnp.sum(full).astype(jnp.float32)], training.AXIS)
    mean = information.Interplay(*(x / count for x in sums))
    return {
        f"mir_{n}": mean.mir,
        f"hdr_{n}": mean.hdr,
        f"entropy_features_{n}": mean.entropy_z,
        f"entropy_head_{n}": mean.entropy_v,
    }


def _of_statistics(rtol: float, statistics: Statistics, w, b) -> dict[str, jax.Array]:
    whole = population.interplay(statistics, w, rtol=rtol)
    by_class = population.class_interplay(statistics, w)
    collapsed = collapse.neural_collapse(statistics, w, b)
    return {
        "population_mir": whole.mir,
        "population_mir_error": whole.standard_error.mir,
        "population_hdr": whole.hdr,
        "entropy_features": whole.entropy_z,
        "entropy_head": whole.entropy_v,
        "class_mir": by_class.mir,
        "class_hdr": by_class.hdr,
        **collapsed._asdict(),
    }
