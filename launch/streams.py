"""Batches that are read while the network trains, for images that do not fit a device's memory."""

from collections import deque
from collections.abc import Iterator

import jax
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.data import images, streaming
from infojax.data.sampling import epochs_on_host
from launch import updates

_IN_FLIGHT = 4  # steps that the devices may lag behind, each with its batch


class Batches:
    """This process's share of every batch, decoded ahead by worker threads.

    The batch of a step is a function of the key and the step: the same as from a source in memory.
    """

    def __init__(
        self, split: images.Split, key: jax.Array, weights: updates.Weights, config: ConfigDict
    ) -> None:
        """Takes the training split, key and weights of a source, and the run's config."""
        self._split, self._num_steps = split, config.num_steps
        self._parts = config.accumulate_steps
        self._size = config.batch_size // (self._parts * jax.device_count())
        sampling = jax.random.fold_in(key, updates.SAMPLING)
        self._rows_at = epochs_on_host(sampling, len(split.labels))
        self._fixed = training.replicate((key, weights))
        self._next = -1

    def take(self, step: int, count: int) -> Iterator[updates.Source]:
        """Yields the batches of `count` steps, on the devices."""
        if step != self._next:
            self._ahead = streaming.ahead(self._read, step, self._num_steps)
        self._next = step + count
        for _ in range(count):
            pixels, labels = training.put_shards(next(self._ahead))
            yield updates.Source(pixels, labels, *self._fixed)

    def _read(self, step: int) -> tuple[np.ndarray, np.ndarray]:
        """Images [devices, b, h, w, channels] and labels [devices, b] of a step."""
        rows = self._rows(step)
        return self._split.images[rows], self._split.labels[rows]

    def _rows(self, step: int) -> np.ndarray:
        """Rows [devices, b] of a step; the parts of a batch come one after another."""
        k, total = jax.local_device_count(), jax.device_count()
        replicas = jax.process_index() * k + np.arange(k)
        calls = step * self._parts + np.arange(self._parts)
        shares = replicas[:, None] + calls * total
        positions = shares[..., None] * self._size + np.arange(self._size)
        return self._rows_at(positions.ravel()).reshape(k, -1)


def make_advance(update: training.Update) -> training.Advance:
    """Returns updates on the `Batches` that they are called with."""
    make_step = training.make_train_step(update, loop_on_device=False)

    def advance(
        state: training.TrainState, batches: Batches, num_steps: int
    ) -> training.TrainState:
        reached: deque[jax.Array] = deque()
        for batch in batches.take(int(training.single(state.step)), num_steps):
            state = make_step(state, batch, 1)
            reached.append(training.single(state.step))
            if len(reached) > _IN_FLIGHT:
                reached.popleft().block_until_ready()
        return state

    return advance
