"""A progress bar with rate, time left and current metrics; silent unless on a terminal.

Only the first process shows it.
"""

from collections.abc import Sequence

from tqdm import tqdm

from infojax.training import processes


class Progress:
    """Context that shows the progress of a loop over steps."""

    def __init__(self, total: int, initial: int, shown: Sequence[str]) -> None:
        disable = None if processes.first() else True
        self._bar = tqdm(
            total=total, initial=initial, unit="step", disable=disable, dynamic_ncols=True
        )
        self._shown = dict.fromkeys(shown, "")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Advances to a step; a metric that is shown keeps its value until it is updated."""
        for name in self._shown.keys() & metrics.keys():
            self._shown[name] = f"{metrics[name]:.3g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(step - self._bar.n)
