"""What a report holds, read from the page without a browser."""

import html
import json
import re
import urllib.parse

import pytest

from infojax import collapse
from infojax.errors import UserError
from launch import reports
from launch.reports import curves, points
from launch.reports.html import cell
from launch.runs import load_run
from tests.launch.reports.conftest import HOSTILE, STEPS


@pytest.fixture
def page(tmp_path):
    """The page of some runs, without the scripts that are the same in every report."""

    def draw(*workdirs):
        path = tmp_path / "out" / "report.html"
        reports.draw(list(workdirs), path)
        text = path.read_text()
        return text[: text.index('<script type="application/json"')]

    return draw


def _rows(text, caption):
    """The cells of a table's rows."""
    table = re.search(rf"<table[^>]*><caption[^>]*>{caption}.*?</table>", text, re.DOTALL)[0]
    body = table[table.index("<tbody>") :]
    rows = re.findall(r"<tr>(.*?)</tr>", body)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in rows]
    return [[html.unescape(re.sub("<[^>]*>", "", cell)) for cell in row] for row in cells]


def test_tables(make_run, page):
    text = page(make_run("one", seeds=2))
    assert _rows(text, "Runs") == [["one", "supervised", "finished", "2", "10,000", "33 min 20 s"]]
    assert [row[:2] for row in _rows(text, "Observations")] == [
        ["holds", "this holds"],
        ["does not hold", "this does not"],
        ["holds in 1 of 2 seeds", "in one seed"],
        ["not measured", "this was not measured"],
        ["no bound", HOSTILE],
    ]
    assert _rows(text, "Last values") == [["accuracy", "test", "", "0.9 ± 0.01"]]
    settings = dict(_rows(text, "Settings"))
    assert settings["learning_rate"] == "0.1" and settings["note"] == HOSTILE
    environment = dict(_rows(text, "Environment"))
    assert environment["jax"] == "0.10.2" and environment["starts"] == "2"


def test_what_differs_comes_first_and_is_marked(make_run, page):
    text = page(make_run("one"), make_run("two", learning_rate=0.3))
    assert _rows(text, "Settings")[0] == ["learning_rate", "0.1", "0.3"]
    marked = re.findall(r'<td class="differs[^>]*>([^<]*)', text)
    assert marked == ["learning_rate", "0.1", "0.3"]


def test_curves(make_run):
    runs = [load_run(make_run("one", seeds=2))]
    accuracy, mir, entropy, own = curves.charts(runs)
    assert [chart["title"] for chart in (accuracy, mir, entropy, own)] == [
        "accuracy",
        "MIR",
        "matrix entropy (nats)",
        HOSTILE,
    ]
    assert accuracy["collapse"] is None and accuracy["is_ratio"]
    assert mir["collapse"] == collapse.mir_at_collapse(10)
    test, batch = accuracy["curves"]
    assert (test["name"], test["x"]) == ("test", list(STEPS))
    assert (batch["name"], batch["x"]) == ("batch of the step", list(STEPS[1:]))
    assert (test["low"][0], test["y"][0], test["high"][0]) == (0.05, 0.1, 0.15)
    assert curves.calls_for_log(runs)


def test_curves_of_several_runs_are_told_apart(make_run):
    runs = [load_run(make_run(name, steps=(0, 10, 20))) for name in ("one", "two")]
    mir = curves.charts(runs)[1]["curves"]
    assert [(c["name"], c["run"], c["series"]) for c in mir] == [
        ("one, test, n = 64", 0, 0),
        ("two, test, n = 64", 1, 0),
    ]
    assert "low" not in mir[0]
    assert not curves.calls_for_log(runs)


def test_a_record_that_json_cannot_hold(make_run):
    workdir = make_run("one")
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 20000, "seconds": 1.0, "test/accuracy": NaN}\n')
    with pytest.raises(UserError, match=r"line \d+ of .*metrics.jsonl is damaged"):
        reports.draw([workdir], workdir / "report.html")


def _text(workdir):
    return (workdir / "report.html").read_text()


def test_long_texts_are_cut():
    found = cell("z" * 1_000_000).text
    assert len(found) < 1_100 and found.endswith("… (1,000,000 characters)")


def test_points(make_study, page):
    study = make_study()
    rows = _rows(page(study), "Points")
    assert rows[0] == ["0", "one_shot", "0.5", "0.8", "2 ± 1.4", "1"]
    lines = [json.loads(line) for line in (study / "points.jsonl").read_text().splitlines()]
    assert points.of_points(lines, "", True).axes == ("sparsity", "accuracy, test", "method")


def test_what_is_drawn_of_points_at_first():
    """Not the seed, nor a metric of few points; fields that some points lack still count."""
    found = [
        {"seed": s, "shots": n, "measured": {"test/mir": 0.1} if n is None else {"own": 0.5}}
        for s, n in ((0, None), (1, 1), (2, 2), (3, 2))
    ]
    assert points.of_points(found, "", True).axes == ("shots", "own", "")
    assert points.of_points([{"seed": 0}, {"seed": 1}], "", True).axes == ("seed", "seed", "")


def test_grid(make_run, page):
    workdir = make_run("grid", experiment="sweep")
    difference = {"mean": -0.1, "low": -0.2, "high": 0.0}
    found = [
        {"values": {"epsilon": x}, "metrics": {"test/accuracy": {"mean": 0.5, "std": 0.1} | d}}
        for x, d in ((0.0, {"difference": None}), (0.5, {"difference": difference}))
    ]
    (workdir / "summary.json").write_text(json.dumps({"points": found}))
    assert _rows(page(workdir), "Grid") == [
        ["0", "0.5 ± 0.1", ""],
        ["0.5", "0.5 ± 0.1", "-0.1000 [-0.2000, +0.0000]"],
    ]


def test_all_results(make_run, page):
    workdir = make_run("own")
    results = {"a": {"b": {"mean": 0.5, "std": 0.1, "by_seed": [0.4, 0.6]}, "c": [1, 2]}, "d": None}
    (workdir / "summary.json").write_text(json.dumps({"steps": 3, "results": results}))
    assert _rows(page(workdir), "All results") == [
        ["results / a / b", "0.5 ± 0.1"],
        ["results / a / c", "1, 2"],
        ["results / d", ""],
    ]


def test_nothing_but_text_comes_from_runs(make_run, make_study, page):
    """Names, settings and metrics of a run become no elements, and nothing is loaded."""
    text = page(make_run("one"), make_study())
    assert "<img" not in text and "<script>alert" not in text
    assert html.escape(HOSTILE) in text
    addresses = re.findall(r'(?:href|src)="([^"]*)"', text)
    assert all(urllib.parse.urlparse(address).scheme in ("", "data") for address in addresses)
    assert "default-src &#x27;none&#x27;" in text


def test_unfinished_runs(make_run, page):
    """Before the first record, and before the end."""
    text = page(make_run("begun", finished=False), make_run("new", steps=(), finished=False))
    assert [row[2] for row in _rows(text, "Runs")] == ["not finished"] * 2
    assert "<h2>Observations" not in text


def test_summaries_of_another_form(make_run, page):
    """What experiments of one's own write need not be as ours."""
    workdir = make_run("own")
    for summary in (
        {"observations": [1], "final": 3},
        {"observations": {"x": 1, "y": {}}},
        {"points": [3]},
    ):
        (workdir / "summary.json").write_text(json.dumps(summary))
        assert _rows(page(workdir), "Runs")


def test_errors(make_run, tmp_path):
    damaged, listed = make_run("damaged"), make_run("listed")
    (damaged / "summary.json").write_text("{")
    (listed / "evaluation.json").write_text("[]")
    for workdir, words in (
        (tmp_path / "missing", "missing is not a run"),
        (damaged, "summary.json is damaged"),
        (listed, "evaluation.json is damaged"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            reports.draw([workdir], tmp_path / "report.html")
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "report.html").exists()
