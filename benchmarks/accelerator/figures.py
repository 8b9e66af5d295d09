"""Figures of what was measured; of parts that were not run there are none."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from benchmarks.accelerator import results

_SHOWN = ("test/accuracy", "test/mir_{n}", "test/hdr_{n}", "test/population_mir")


def draw(out: Path) -> list[Path]:
    """Draws all figures that the results allow into `figures/`; returns their paths."""
    found: dict[str, Figure] = {}
    found |= _metrics(list(results.measured(out, "metrics").values()))
    for record in results.measured(out, "training").values():
        if "run" in record:
            found |= _training(record["run"], _history(out / "runs" / record["run"]))
        if record["status"] == results.OK and "points" in record:
            found |= _line(record)
    found |= _grokking(_history(out / "runs" / "grokking"))
    directory, paths = out / "figures", []
    for name, figure in found.items():
        directory.mkdir(exist_ok=True)
        paths.append(directory / f"{name}.png")
        figure.savefig(paths[-1], dpi=150)
        plt.close(figure)
    return paths


def _history(directory: Path) -> list[dict[str, Any]]:
    return results.lines(directory / "metrics.jsonl")


def _panels(count: int) -> tuple[Figure, Any]:
    figure, axes = plt.subplots(1, count, figsize=(7, 2.8), squeeze=False, layout="constrained")
    return figure, axes[0]


def _metrics(records: list[results.Record]) -> dict[str, Figure]:
    """Seconds against n, by contender."""
    timed = [r for r in records if "contender" in r and r["status"] == results.OK]
    if not timed:
        return {}
    figure, axes = _panels(2)
    for axis, gradient in zip(axes, (False, True), strict=True):
        for who in dict.fromkeys(r["contender"] for r in timed):
            own = [r for r in timed if r["contender"] == who and r["gradient"] == gradient]
            axis.loglog([r["n"] for r in own], [r["seconds"] for r in own], "o-", label=who)
        axis.set_title("values and gradient" if gradient else "values")
        axis.set_xlabel("samples n")
    axes[0].set_ylabel("seconds")
    axes[0].legend()
    return {"metrics": figure}


def _training(name: str, history: list[dict[str, Any]]) -> dict[str, Figure]:
    """Accuracy, MIR and HDR of the test split; neural collapse of the training split."""
    if len(history) < 2:
        return {}
    figure, (left, right) = _panels(2)
    steps = [r["step"] for r in history]
    sizes = [k.rpartition("_")[2] for k in history[0] if k.startswith("test/mir_")]
    for pattern in _SHOWN:
        metric = pattern.format(n=sizes[0])
        left.plot(steps, [r[metric] for r in history], label=metric.removeprefix("test/"))
    for metric in [k for k in history[0] if k.startswith("train/nc")]:
        right.semilogy(steps, [r[metric] for r in history], label=metric.removeprefix("train/"))
    for axis, title in ((left, "test split"), (right, "training split")):
        axis.set_title(title)
        axis.set_xlabel("step")
        axis.legend(fontsize=7)
    return {name: figure}


def _line(record: results.Record) -> dict[str, Figure]:
    """Accuracy, MIR and HDR between two networks."""
    figure, (axis,) = _panels(1)
    points = record["points"]
    names = [k for k in points[0] if k.startswith(("test/accuracy", "test/mir_", "test/hdr_"))]
    for metric in names:
        values = [p[metric] for p in points]
        axis.plot([p["omega"] for p in points], values, label=metric.removeprefix("test/"))
    axis.set_xlabel("ω")
    axis.set_title(record["name"])
    axis.legend(fontsize=7)
    return {record["name"].replace(", ", "-").replace(": ", "-").replace(" ", "_"): figure}


def _grokking(history: list[dict[str, Any]]) -> dict[str, Figure]:
    """Figure 7."""
    if len(history) < 2:
        return {}
    figure, (axis,) = _panels(1)
    names = ["train/accuracy", *(k for k in history[0] if k.startswith(("test/acc", "test/mir_")))]
    names += [k for k in history[0] if k.startswith("test/hdr_")]
    for metric in names:
        axis.plot([r["step"] for r in history], [r[metric] for r in history], label=metric)
    axis.set_xlabel("epoch")
    axis.legend(fontsize=7)
    return {"grokking": figure}
