import io
import re

from infojax.training.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar(monkeypatch):
    """Steps, share, rate, time left and the latest values of the metrics shown."""
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    with Progress(total=50, initial=10, shown=("loss", "mir")) as progress:
        progress.update(20, {"loss": 0.1234567, "mir": 0.5, "other": 7.25})
        progress.update(30, {"loss": 0.01})
        progress._bar.refresh()
    last = terminal.getvalue().split("\r")[-1]
    assert re.search(r"60%.* 30/50 \[.*<.*step/s, loss=0\.01, mir=0\.5\]", last)
    assert "7.25" not in terminal.getvalue()


def test_no_progress_bar_without_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr", file := io.StringIO())
    with Progress(total=50, initial=0, shown=("loss",)) as progress:
        progress.update(20, {"loss": 0.1})
    assert file.getvalue() == ""
