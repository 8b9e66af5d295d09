"""How the members of an ensemble are computed: one by one on each device, or together by vmap."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax.training.loop import evaluated
from infojax.training.step import (
    Advance,
    Batch,
    BatchedAdvance,
    TrainState,
    Update,
    make_batched_step,
    make_train_step,
    mapped_twice,
    put_alone,
    put_shards,
    single,
)

Tree = TypeVar("Tree")
Found = dict[str, jax.Array]
Measure = Callable[[TrainState, Any], Found]
After = Callable[[TrainState, Any], TrainState]
Inputs = tuple[TrainState, Batch, Any]  # what a member is trained and measured on
_NOBODY = -1


class Lane(Protocol):
    """Devices that compute a group of members; the members' numbers are the group's `place`."""

    def put(self, members: Sequence[Inputs], place: np.ndarray) -> Inputs:
        """Puts the group's states, batches and data on the devices."""

    def advance(self, states: TrainState, batch: Batch, counts: np.ndarray) -> TrainState:
        """Makes the given number of updates for each place."""

    def measure(self, states: TrainState, data: Any) -> Found:
        """Metrics, with the axes of the place."""

    def settle(self, states: TrainState, metrics: Found, due: np.ndarray) -> TrainState:
        """The states after an evaluation of those that are due."""

    def fetch(self, states: Tree) -> Tree:
        """States, or some of their fields, with the axes of the place."""


class OneByOne(NamedTuple):
    """A device that computes one member at a time, by the programs of a run on that device.

    Two CPU devices hung in cold starts, apparently when one compiled while another computed: a
    first call, which compiles, is awaited.
    """

    device: jax.Device
    step: Advance
    measures: Measure
    after: After

    def put(self, members: Sequence[Inputs], place: np.ndarray) -> Inputs:
        """Puts a member on the device."""
        state, batch, data = members[int(place)]
        state, batch = jax.block_until_ready(put_alone((state, batch), self.device))
        state = jax.block_until_ready(self.step(state, batch, 0))  # compiles
        return state, batch, jax.device_put(data, self.device)

    def advance(self, states: TrainState, batch: Batch, counts: np.ndarray) -> TrainState:
        """Makes the member's updates."""
        count = int(counts)
        return self.step(states, batch, count) if count else states

    def measure(self, states: TrainState, data: Any) -> Found:
        """Metrics of the member."""
        found: Found = jax.block_until_ready(self.measures(single(states), data))
        return found

    def settle(self, states: TrainState, metrics: Found, due: np.ndarray) -> TrainState:
        """The state after an evaluation."""
        return evaluated(states, metrics, self.after) if due else states

    def fetch(self, states: Tree) -> Tree:
        """The state."""
        return single(states)


class Together(NamedTuple):
    """All devices, each of which computes several members at once: `place` has two axes."""

    step: BatchedAdvance
    measures: Measure
    settles: Callable[[TrainState, Found, ArrayLike], TrainState]

    def put(self, members: Sequence[Inputs], place: np.ndarray) -> Inputs:
        """Puts the members on the devices; an empty place repeats the first."""
        numbers = np.where(place == _NOBODY, place.flat[0], place)

        def stack(*leaves: Any) -> np.ndarray:
            rows = np.stack([np.asarray(leaf) for leaf in leaves])
            return rows.reshape(*place.shape, *rows.shape[1:])

        chosen = jax.device_get([members[k] for k in numbers.flat])
        placed: Inputs = put_shards(jax.tree.map(stack, *chosen))
        return placed

    def advance(self, states: TrainState, batch: Batch, counts: np.ndarray) -> TrainState:
        """Makes the members' updates."""
        return self.step(states, batch, counts)

    def measure(self, states: TrainState, data: Any) -> Found:
        """Metrics of all members."""
        return self.measures(states, data)

    def settle(self, states: TrainState, metrics: Found, due: np.ndarray) -> TrainState:
        """The states after an evaluation of those that are due."""
        return self.settles(states, metrics, due)

    def fetch(self, states: Tree) -> Tree:
        """The states."""
        return states


class Ensemble(NamedTuple):
    """The compiled functions of an ensemble, from `make_ensemble`."""

    lanes: Sequence[Lane]
    batched: bool


def make_ensemble(
    update: Update, measure: Measure, after_evaluation: After, batched: bool | None = None
) -> Ensemble:
    """Returns what `fit_ensemble` needs.

    Args:
      update: loss and optimiser of all members.
      measure: metrics of a member's state and data, all scalars; traceable.
      after_evaluation: of the plan.
      batched: whether the members on a device are computed together (vmap); by default on all
        devices but CPUs, which compute one after another faster (docs/speed.md).
    """
    if jax.default_backend() == "cpu" if batched is None else not batched:
        lanes = [
            OneByOne(device, make_train_step(update, device=device), measure, after_evaluation)
            for device in jax.local_devices()
        ]
        return Ensemble(lanes, batched=False)

    def settled(state: TrainState, metrics: Found, due: ArrayLike) -> TrainState:
        after = evaluated(state, metrics, after_evaluation)
        chosen: TrainState = jax.tree.map(lambda x, y: jnp.where(due, x, y), after, state)
        return chosen

    together = Together(make_batched_step(update), mapped_twice(measure), mapped_twice(settled))
    return Ensemble([together], batched=True)


def rounds(active: np.ndarray, batched: bool) -> int:
    """Returns how many members a device holds if the active ones are laid out anew.

    If batched, one of a few numbers, since a program is compiled for each.
    """
    devices = min(jax.local_device_count(), len(active))
    needed = -(-int(np.sum(active)) // devices)
    if not batched or not needed:
        return needed
    held = -(-len(active) // devices)
    while held > 1 and (held + 1) // 2 >= needed:
        held = (held + 1) // 2
    return held


def layout(active: np.ndarray, batched: bool) -> list[np.ndarray]:
    """Returns the place of each group: the numbers of its active members.

    Args:
      active: bool [members].
      batched: whether there is one group, of places [devices, members]; else each member is a
        group.
    """
    numbers = np.flatnonzero(active)
    if not batched:
        return [np.asarray(k) for k in numbers]
    if not len(numbers):
        return []
    devices = min(jax.local_device_count(), len(active))
    place = np.full(devices * rounds(active, batched), _NOBODY)
    place[: len(numbers)] = numbers
    return [place.reshape(devices, -1)]


def placed(place: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Returns values [members] at the places of a group; zero at empty places."""
    found: np.ndarray = np.where(place == _NOBODY, values.dtype.type(0), values[place])
    return found


def parts(place: np.ndarray, tree: Tree, which: np.ndarray) -> Iterator[tuple[int, Tree]]:
    """Yields the chosen members of a group with their parts of its arrays, as NumPy arrays."""
    here = (place != _NOBODY) & which[place]
    if not here.any():
        return
    host = jax.device_get(tree)
    for index in map(tuple, np.argwhere(here)):
        part: Tree = jax.tree.map(lambda x, index=index: np.asarray(x)[index], host)
        yield int(place[index]), part
