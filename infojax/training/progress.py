"""A progress bar with rate, time left and the current metrics; quiet unless on a terminal.

Of several processes the first shows it.
"""

from collections.abc import Sequence

from tqdm import tqdm

from infojax.training import processes


class Progress:
    """Context around a loop over steps."""

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
        """Moves to a step; metrics that are shown keep their value until they are renewed."""
        for name in self._shown.keys() & metrics.keys():
            self._shown[name] = f"{metrics[name]:.3g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(step - self._bar.n)
