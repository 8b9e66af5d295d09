"""One line of progress with rate, time left and current metrics; silent unless on a terminal.

Only the first process shows it. On a narrow terminal the metrics stay and the bar goes first.
"""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from tqdm import tqdm
from tqdm.std import Bar

from infojax.training import processes

_SHORTEST_BAR = 8
_WITHOUT_TERMINAL = 80  # columns, where the width is unknown
_FIRST_LEFT_OUT = ("rate", "count", "time", "share")


class Position(NamedTuple):
    """Where a loop is.

    Attributes:
      step: steps done, including those of earlier starts.
      total: number of steps.
      seconds: time taken by this run.
      rate: steps per second; 0 if unknown.
    """

    step: int
    total: int
    seconds: float
    rate: float


class Progress:
    """Context that shows the progress of a loop over steps."""

    def __init__(self, total: int, initial: int, shown: Sequence[str]) -> None:
        disable = None if processes.first() else True
        self._bar = _Bar(total=total, initial=initial, disable=disable, dynamic_ncols=True)
        self._names = short_names(shown)
        self._values = dict.fromkeys(shown, "")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Advances to a step; a metric that is shown keeps its value until it is updated."""
        if self._bar.disable:
            return
        for name in self._values.keys() & metrics.keys():
            self._values[name] = f"{metrics[name]:.3g}"
        values = ((self._names[name], value) for name, value in self._values.items() if value)
        self._bar.metrics = dict(values)
        self._bar.update(step - self._bar.n)


class _Bar(tqdm):  # type: ignore[misc]
    """A tqdm that draws `line`."""

    def __init__(self, **options: object) -> None:
        self.metrics: dict[str, str] = {}
        super().__init__(**options)

    def __str__(self) -> str:
        now = self.format_dict
        done, seconds = now["n"] - now["initial"], now["elapsed"]
        rate = now["rate"] or (done / seconds if seconds else 0.0)
        position = Position(now["n"], now["total"], seconds, rate)
        return line(position, self.metrics, now["ncols"] or _WITHOUT_TERMINAL, now["ascii"])


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Returns names without their split, as `acc` for `test/accuracy`, unless two would be equal.

    >>> short_names(["train/loss", "test/accuracy", "test/mir_64"])
    {'train/loss': 'loss', 'test/accuracy': 'acc', 'test/mir_64': 'mir_64'}
    """
    short = {name: name.rpartition("/")[2].replace("accuracy", "acc") for name in names}
    count = Counter(short.values())
    return {name: name if count[own] > 1 else own for name, own in short.items()}


def line(position: Position, metrics: dict[str, str], columns: int, ascii_only: bool) -> str:
    """Returns the progress and the metrics in at most this many columns.

    The bar takes the room that is left; without room for the rest, rate, steps, time and share are
    dropped in this order, and metrics are truncated last.
    """
    parts = _parts(position)
    values = " ".join(f"{name} {value}" for name, value in metrics.items())
    for name in _FIRST_LEFT_OUT:
        if len(_joined(parts, "", values)) <= columns:
            break
        del parts[name]
    room = columns - len(_joined(parts, "||", values)) - 1
    bar = ""
    if room >= _SHORTEST_BAR and "rate" in parts:
        share = position.step / max(position.total, 1)
        bar = f"|{Bar(share, room, Bar.ASCII if ascii_only else Bar.UTF)}|"
    return _joined(parts, bar, values)[:columns]


def _parts(position: Position) -> dict[str, str]:
    step, total, seconds, rate = position
    left = tqdm.format_interval((total - step) / rate) if rate else "?"
    return {
        "share": f"{step / max(total, 1):4.0%}",
        "count": f"{step}/{total}",
        "time": f"{tqdm.format_interval(seconds)}<{left}",
        "rate": f"{1 / rate:.3g}s/step" if 0 < rate < 1 else f"{rate:.3g}step/s",
    }


def _joined(parts: dict[str, str], bar: str, values: str) -> str:
    start = [parts[name] for name in ("share",) if name in parts]
    rest = [text for name, text in parts.items() if name != "share"]
    return " ".join(text for text in (*start, bar, *rest, values) if text)
