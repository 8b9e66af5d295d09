import io
import re

from infojax.training import progress
from infojax.training.progress import Position, Progress

SHOWN = ("train/loss", "test/accuracy", "test/mir_256", "test/hdr_256")
METRICS = {"loss": "0.00123", "acc": "0.983", "mir_256": "0.503", "hdr_256": "0.0312"}
VALUES = "loss 0.00123 acc 0.983 mir_256 0.503 hdr_256 0.0312"
FAR = Position(1_000_000, 2**20, 400_000.0, 2.5)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def _last_line(monkeypatch, progress, updates):
    """What a terminal of 80 columns shows in the end; tqdm leaves the last column free."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    total, initial, names = progress
    with Progress(total, initial, names) as shown:
        for step, metrics in updates:
            shown.update(step, metrics)
        shown._bar.refresh()
    return terminal.getvalue().rstrip("\n").split("\r")[-1]


def test_progress(monkeypatch):
    """Share, steps, time, rate and the latest values of the metrics shown."""
    updates = [(20, {"loss": 0.1234567, "mir": 0.5, "other": 7.25}), (30, {"loss": 0.01})]
    last = _last_line(monkeypatch, (50, 10, ("loss", "mir")), updates)
    pattern = r" 60% \|#+.* *\| 30/50 \d\d:\d\d<\d\d:\d\d [\d.e+]+step/s loss 0\.01 mir 0\.5"
    assert re.fullmatch(pattern, last) and len(last) == 79


def test_metrics_of_a_long_run_are_visible_in_80_columns(monkeypatch):
    values = (0.00123, 0.9832, 0.50312, 0.03125)
    updates = [(1_000_000, dict(zip(SHOWN, values, strict=True)))]
    last = _last_line(monkeypatch, (2**20, 999_950, SHOWN), updates)
    assert last.startswith(" 95% ") and last.endswith(f" {VALUES}") and len(last) <= 79


def test_a_line_fits_and_shows_metrics_first():
    for columns in range(20, 140):
        line = progress.line(FAR, METRICS, columns, False)
        assert len(line) <= columns
        assert VALUES in line or columns < len(VALUES)
        assert ("█" in line) == (columns >= 112)


def test_what_is_left_out_first():
    whole = " 95% 1000000/1048576 111:06:40<5:23:50 2.5step/s"
    for columns, start in (
        (len(f"{whole} {VALUES}"), whole),
        (len(f"{whole} {VALUES}") - 1, " 95% 1000000/1048576 111:06:40<5:23:50"),
        (80, " 95% 111:06:40<5:23:50"),
        (60, " 95%"),
        (55, ""),
    ):
        assert progress.line(FAR, METRICS, columns, False) == f"{start} {VALUES}"[not start :], (
            columns
        )


def test_slow_steps_and_the_first():
    assert "4s/step" in progress.line(Position(3, 9, 12.0, 0.25), {}, 80, True)
    assert progress.line(Position(0, 9, 0.0, 0.0), {}, 30, True) == "  0% 0/9 00:00<? 0step/s"


def test_names_that_would_be_equal_stay_whole():
    names = ("train/loss", "test/loss", "validation/accuracy")
    assert list(progress.short_names(names).values()) == ["train/loss", "test/loss", "acc"]


def test_no_progress_without_a_terminal(monkeypatch):
    monkeypatch.setattr("sys.stderr", file := io.StringIO())
    with Progress(total=50, initial=0, shown=("loss",)) as shown:
        shown.update(20, {"loss": 0.1})
    assert file.getvalue() == ""
