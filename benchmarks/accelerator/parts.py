"""The parts of the command in their order of worth, and how one runs: `measure`."""

import importlib
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from benchmarks.accelerator import results
from benchmarks.accelerator.context import Context, Measurement, OutOfTime, Stopped


class Part(NamedTuple):
    """A part of the command.

    Attributes:
      title: for people.
      share: weight among the parts that are not complete, by which they share the time left.
      module: with `measurements(context)`.
    """

    title: str
    share: float
    module: str


PARTS = {
    "mathematics": Part("Mathematics against float64, determinism", 0.14, "mathematics"),
    "metrics": Part("Time of the metrics and of eigenvalues", 0.13, "metrics"),
    "step": Part("The train step of WideResNet-28-2", 0.27, "step"),
    "grokking": Part("Grokking, p = 113", 0.12, "grokking"),
    "population": Part("Whole populations", 0.09, "population"),
    "training": Part("Training at the papers' scale", 0.25, "training"),
}


def goal(name: str, recipe: str) -> str:
    """What is complete once all measurements of a part are made: training is, for one recipe."""
    return f"{name}, {recipe}" if name == "training" else name


def measurements(name: str, context: Context) -> Iterable[Measurement]:
    """Returns the measurements of a part in their order of worth."""
    module = importlib.import_module(f"benchmarks.accelerator.{PARTS[name].module}")
    found: Iterable[Measurement] = module.measurements(context)
    return found


def measure(name: str, context: Context, about: dict[str, Any]) -> bool:
    """Makes the measurements of a part that are missing, as long as time is left.

    Those that failed in an earlier call come last: they may take long to fail again.

    Args:
      name: of the part.
      context: where and how it runs.
      about: fields that every record gets, such as the device.

    Returns:
      Whether all measurements are made, none of which failed.
    """
    done = results.measured(context.out, name)
    status = lambda m: done.get(m.name, {}).get("status")  # noqa: E731
    complete = True
    ordered = sorted(measurements(name, context), key=lambda m: status(m) == results.FAILED)
    for measurement in ordered:
        if status(measurement) == results.OK and not measurement.again:
            continue
        if context.clock.left() < (0 if context.small else measurement.seconds):
            print(f"{name}: {measurement.name}: left for the next call", flush=True)
            complete = False
            continue
        record = {"part": name, "name": measurement.name, **about, **_made(measurement)}
        results.append(context.out, record)
        print(_line(record), flush=True)
        complete &= record["status"] == results.OK
    if complete:
        results.append(context.out, {results.COMPLETE: goal(name, context.recipe)})
    return complete


def _made(measurement: Measurement) -> dict[str, Any]:
    """The fields of a record; an error of any kind is one, so that the others are still made."""
    start, status = time.perf_counter(), results.OK
    try:
        fields = measurement.run()
    except OutOfTime as stopped:
        status, fields = results.UNFINISHED, stopped.fields
    except Stopped:  # after the end of the part's time: nothing else begins
        status, fields = results.FAILED, {"error": "stopped: it took longer than the time left"}
    except Exception as error:
        words = " ".join(str(error).split())
        status, fields = results.FAILED, {"error": f"{type(error).__name__}: {words[:300]}"}
    return {"status": status, "took": round(time.perf_counter() - start, 1), **fields}


def _line(record: results.Record) -> str:
    hidden = {"part", "name", "status", "device", "small", "commit", "took"}
    shown = {k: v for k, v in record.items() if k not in hidden and not isinstance(v, list | dict)}
    fields = ", ".join(
        f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items()
    )
    return f"{record['part']}: {record['name']}: {record['status']} ({record['took']} s) {fields}"
