"""Several seeds trained side by side: each as if alone on one device, with its own directory."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from infojax.training import lanes
from infojax.training.interrupts import Interrupted, Interrupts
from infojax.training.lanes import Ensemble, Lane
from infojax.training.loop import Log, Plan, opened, stops
from infojax.training.progress import Progress
from infojax.training.step import Batch, TrainState


class Member(NamedTuple):
    """One seed of an ensemble.

    Attributes:
      state: its initial state.
      batch: input of its loss, on one device.
      data: what it is measured on.
      directory: where its checkpoints/ and metrics.jsonl are kept.
    """

    state: TrainState
    batch: Batch
    data: Any
    directory: Path


def fit_ensemble(members: Sequence[Member], ensemble: Ensemble, plan: Plan) -> list[TrainState]:
    """Trains all members to the last evaluation, each from its newest intact checkpoint.

    Members that are ahead, after a kill during saving, wait for the others. Results do not depend
    on interruptions, to the last bit; if batched and some members finish early, to rounding, since
    the others then form smaller batches.

    Args:
      members: one for each seed; divided over this process's devices.
      ensemble: from `make_ensemble`.
      plan: of every member; its `directory` and `evaluate` are not used.

    Returns:
      The final state of each member.

    Raises:
      Interrupted: after SIGINT or SIGTERM, once all states are saved.
      UserError: as for `fit`, of any member.
      StorageError: as for `fit`.
      FloatingPointError: as for `fit`; names the member's directory.
    """
    with contextlib.ExitStack() as stack:
        logs = [stack.enter_context(opened(plan._replace(directory=m.directory))) for m in members]
        found = [log.resume(m.state) for log, m in zip(logs, members, strict=True)]
        run = _Run(members, ensemble, plan, logs, found)
        total = plan.eval_steps[-1] * len(members)
        interrupts = stack.enter_context(Interrupts())
        run.progress = stack.enter_context(Progress(total, run.position(), plan.shown))
        run.evaluate(np.array([state is None for state in found]))
        for stop in stops(run.behind(), plan):
            due = run.advance(stop)
            trained = list(run.groups)
            if stop in plan.eval_steps:
                run.evaluate(due)
            signum = interrupts.received  # read once, as in fit
            every = stop % plan.checkpoint_every == 0 or signum
            run.save(due if every else due & run.finished, trained)
            if signum:
                raise Interrupted(signum, stop)
            if run.finished.all():
                break
            run.close_ranks()
        return run.states()


class _Group(NamedTuple):
    """Members that are computed together, see `lanes`."""

    lane: Lane
    place: np.ndarray
    state: TrainState
    batch: Batch
    data: Any

    def parts(self, states: lanes.Tree, which: np.ndarray) -> Iterator[tuple[int, lanes.Tree]]:
        """The chosen members with their parts of states, or of some of their fields."""
        return lanes.parts(self.place, self.lane.fetch(states), which)


class _Run:
    """Progress of an ensemble: each member's step, and the states of members in training.

    Attributes:
      groups: of the members; their states are those after the latest evaluation.
      steps: int [members].
      finished: bool [members].
      progress: where progress is shown.
    """

    progress: Progress

    def __init__(
        self,
        members: Sequence[Member],
        ensemble: Ensemble,
        plan: Plan,
        logs: Sequence[Log],
        found: Sequence[TrainState | None],
    ) -> None:
        self._members, self._ensemble, self._plan, self._logs = members, ensemble, plan, logs
        self._states = [m.state if s is None else s for m, s in zip(members, found, strict=True)]
        self._last = plan.eval_steps[-1]
        self.steps = np.array([int(state.step) for state in self._states])
        self.finished = np.array([state is not None and self._done(state) for state in found])
        self._form()

    def _done(self, state: TrainState) -> bool:
        return int(state.step) >= self._last or self._plan.finished(state)

    def _rounds(self) -> int:
        return lanes.rounds(~self.finished, self._ensemble.batched)

    def _form(self) -> None:
        """Forms groups of the members that are not finished, and puts them on the devices."""
        pairs = zip(self._states, self._members, strict=True)
        members = [(state, m.batch, m.data) for state, m in pairs]
        self._held = self._rounds()
        self.groups = []
        for i, place in enumerate(lanes.layout(~self.finished, self._ensemble.batched)):
            lane = self._ensemble.lanes[i % len(self._ensemble.lanes)]
            self.groups.append(_Group(lane, place, *lane.put(members, place)))

    def close_ranks(self) -> None:
        """Forms groups anew once enough members have finished for this to be faster."""
        if self._rounds() < self._held:
            self._states = self.states()
            self._form()

    def states(self) -> list[TrainState]:
        """The state of every member, on the host."""
        everyone, found = np.ones_like(self.finished), list(self._states)
        for group in self.groups:
            for k, state in group.parts(group.state, everyone):
                found[k] = state
        return found

    def position(self) -> int:
        """Sum of the steps of all members."""
        return int(np.sum(np.where(self.finished, self._last, self.steps)))

    def behind(self) -> int:
        """The smallest step of a member that is not finished."""
        return int(np.min(np.where(self.finished, self._last, self.steps)))

    def advance(self, stop: int) -> np.ndarray:
        """Trains the members that are behind a step up to it; returns which these are."""
        due = ~self.finished & (self.steps < stop)
        counts = np.where(due, stop - self.steps, 0).astype(np.int32)
        abreast = len(self._ensemble.lanes)
        for i, (lane, place, state, batch, _) in enumerate(self.groups):
            state = lane.advance(state, batch, lanes.placed(place, counts))
            self.groups[i] = self.groups[i]._replace(state=state)
            if (i + 1) % abreast == 0:  # one group on each lane at a time
                jax.block_until_ready([g.state for g in self.groups[i + 1 - abreast : i + 1]])
        for group in self.groups:
            for k, (step, loss) in group.parts((group.state.step, group.state.loss), due):
                with self._naming(k):
                    self._logs[k].check_finite(int(step), {"train/loss": float(loss)})
        self.steps = np.where(due, stop, self.steps)
        self.progress.update(self.position(), {})
        return due

    def evaluate(self, due: np.ndarray) -> None:
        """Evaluates members, records their metrics, and notes which are finished."""
        for i, group in enumerate(self.groups):
            chosen = lanes.placed(group.place, due)
            if not chosen.any():
                continue
            metrics = group.lane.measure(group.state, group.data)
            for k, values in lanes.parts(group.place, metrics, due):
                with self._naming(k):
                    own = {name: float(x) for name, x in values.items()}
                    own = self._logs[k].record(int(self.steps[k]), own)
                self.progress.update(self.position(), own)
            settled = group.lane.settle(group.state, metrics, chosen)
            self.groups[i] = group._replace(state=settled)
            decisive = settled.replace(params=(), opt_state=(), ema=None)
            for k, state in group.parts(decisive, due):
                self.finished[k] = self._done(state)

    def save(self, which: np.ndarray, trained: Sequence[_Group]) -> None:
        """Saves the states of some members."""
        for group in trained:
            for k, state in group.parts(group.state, which):
                with self._naming(k):
                    self._logs[k].save(int(self.steps[k]), state)

    @contextlib.contextmanager
    def _naming(self, k: int) -> Iterator[None]:
        """Context in which a FloatingPointError names the member's directory."""
        try:
            yield
        except FloatingPointError as error:
            raise FloatingPointError(f"{self._members[k].directory}: {error}") from error
