"""The seeds of grokking under one condition, and when each of them generalises."""

from typing import Any, NamedTuple

from launch.results import transitions
from launch.results.transitions import ACCURACY, Found
from launch.runs import History, Run


class Condition(NamedTuple):
    """One point of a study.

    Attributes:
      name: of the point.
      seeds: their numbers.
      histories: the records of each seed.
      found: the transitions of each seed.
      generalised: which seeds reached a test accuracy above 0.99.
    """

    name: str
    seeds: list[int]
    histories: list[History]
    found: Found
    generalised: list[bool]

    def onset(self, i: int) -> float | None:
        """The epoch of half the rise of test accuracy, or the last of a seed that stays low.

        None for a seed that generalises, but whose rise is not found, as where accuracy keeps
        falling back.
        """
        if not self.generalised[i]:
            return float(self.histories[i][-1]["step"])
        accuracy = self.found[i][ACCURACY]
        return accuracy.half if accuracy else None

    def onsets(self) -> list[float | None]:
        """`onset` of every seed."""
        return [self.onset(i) for i in range(len(self.seeds))]

    def delayed(self) -> list[int]:
        """The seeds that generalise after they have fitted the training examples."""
        halves = {i: t.half for i, seed in enumerate(self.found) if (t := seed[ACCURACY])}
        return [
            i
            for i, half in halves.items()
            if self.generalised[i] and half >= transitions.memorised(self.histories[i])
        ]


def condition(name: str, first_seed: int, histories: list[History], n: int) -> Condition:
    """Returns a condition; n is the size of the test batch of MIR and HDR."""
    wanted = transitions.measures(n)
    return Condition(
        name,
        list(range(first_seed, first_seed + len(histories))),
        histories,
        [transitions.of_seed(history, wanted) for history in histories],
        [transitions.generalised(history) for history in histories],
    )


def read(run: Run) -> Condition:
    """Returns the condition that the run of a point measured."""
    n = max(run.config["metric_batch_sizes"])
    return condition(run.name, run.config["seed"], run.histories, n)


def leads_of(condition: Condition) -> dict[str, Any]:
    """`transitions.leads` over the `delayed` seeds; {} if there are none.

    Of the others, what fitting does to a measure and what generalising does cannot be told apart.
    """
    chosen = [condition.found[i] for i in condition.delayed()]
    return transitions.leads(chosen) if chosen else {}
