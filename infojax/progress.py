"""A progress bar with rate, time left and the current metrics; quiet unless on a terminal."""

from tqdm import tqdm

_SHOWN = 6


class Progress:
    """Context around a loop over steps."""

    def __init__(self, total: int, initial: int) -> None:
        self._bar = tqdm(
            total=total, initial=initial, unit="step", disable=None, dynamic_ncols=True
        )
        self._shown: dict[str, str] = {}

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def update(self, step: int, metrics: dict[str, float]) -> None:
        """Moves to a step and shows the first few metrics; earlier values stay until renewed."""
        for name in list(metrics)[:_SHOWN]:
            self._shown[name] = f"{metrics[name]:.3g}"
        self._bar.set_postfix(self._shown, refresh=False)
        self._bar.update(step - self._bar.n)
