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

    def onset(self, i: int) -> float:
        """The epoch of half the rise of test accuracy; the last epoch of a seed without one."""
        accuracy = self.found[i][ACCURACY]
        whole = self.generalised[i] and accuracy is not None
        return accuracy.half if whole and accuracy else float(self.histories[i][-1]["step"])


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
    """`transitions.leads` over the seeds that generalise; {} if none does."""
    seeds = zip(condition.found, condition.generalised, strict=True)
    chosen = [found for found, generalised in seeds if generalised]
    return transitions.leads(chosen) if chosen else {}
