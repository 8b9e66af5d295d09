"""What Table 1 of Song et al. 2024 reports, and how good the pseudo-labels are."""

from collections.abc import Mapping
from typing import Any

from launch.results import supervised
from launch.results.observations import Observation, Observations, bounded
from launch.runs import History, evaluated_split


def observe(history: History, config: Mapping[str, Any], num_classes: int) -> Observations:
    """Measures accuracies, MIR, HDR and pseudo-labels on the records of one seed.

    Args:
      history: records in order of steps.
      config: of the run.
      num_classes: number of classes C.
    """
    split, last = evaluated_split(config), history[-1]
    found = supervised.observe(history, split, config["metric_batch_sizes"][0], num_classes)
    found["best_accuracy"] = Observation(
        f"best {split} accuracy over the evaluations, as the papers report it",
        last[f"{split}/best_accuracy"],
    )
    if config["method"] != "supervised":
        found["pseudo_labels"] = bounded(
            "share of right pseudo-labels among those that pass in the last batch (above the test "
            "accuracy)",
            last["batch/pseudo_label_accuracy"] if last["batch/mask_rate"] else None,
            lambda right: right > last[f"{split}/accuracy"],
        )
    return found
