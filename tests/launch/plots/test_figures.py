"""Figures of grokking: of one run, over seeds, and of several runs on the same axes."""

import json
import struct

import matplotlib.pyplot as plt
import numpy as np
import pytest

from infojax.errors import UserError
from launch import plots
from launch.plots import grokking
from launch.runs import load_run

SIZES = (16, 64)
STEPS = (0, 1, 2, 5, 10, 100)


def _records(offset, steps, sizes):
    names = [
        "test/accuracy",
        "train/accuracy",
        "test/loss",
        "train/loss",
        "weights/squared_norm",
        "test/nc1",
        "train/nc1",
    ]
    names += [f"{split}/class_{x}" for split in ("train", "test") for x in ("mir", "hdr")]
    measured = ("mir", "hdr", "entropy_features", "entropy_head")
    names += [f"test/{x}_{n}" for x in measured for n in sizes]
    for step in steps:
        values = {name: (i + 1 + offset + step / 100) / 40 for i, name in enumerate(names)}
        yield {"step": step, "seconds": 1.0 * step, "train/loss_spike": float(step > 1), **values}


def _write(directory, offset=0.0, steps=STEPS, sizes=SIZES):
    directory.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(record) + "\n" for record in _records(offset, steps, sizes)]
    (directory / "metrics.jsonl").write_text("".join(lines))


@pytest.fixture
def make_run(tmp_path):
    """Writes a run with one offset of all values per seed; a single seed has no directory."""

    def make(name, *offsets, steps=STEPS, sizes=SIZES, **config):
        workdir = tmp_path / name
        if len(offsets) > 1:
            for i, offset in enumerate(offsets):
                _write(workdir / f"seed-{8 + i}", offset, steps, sizes)
        else:
            _write(workdir, *offsets, steps=steps, sizes=sizes)
        settings = {"experiment": "grokking", "modulus": 13, "operation": "a+b", "seed": 8}
        settings["metric_batch_sizes"] = sizes
        (workdir / "config.json").write_text(json.dumps(settings | config))
        return workdir

    return make


@pytest.fixture
def figures():
    """Figures of some runs, before they are written."""

    def draw(*workdirs):
        return grokking.figures([load_run(workdir) for workdir in workdirs])

    yield draw
    plt.close("all")


def _size(path):
    content = path.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", content[16:24])


def _legend(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_files(make_run, tmp_path):
    paths = plots.draw(grokking.figures, [make_run("one")], tmp_path / "new" / "figures")
    assert [path.name for path in paths] == ["grokking.png", "grokking_details.png"]
    assert sorted((tmp_path / "new" / "figures").iterdir()) == sorted(paths)
    for path in paths:
        assert path.stat().st_size > 20_000
        assert all(800 <= pixels <= 3_000 for pixels in _size(path))
        pixels = plt.imread(path)[..., :3]
        assert 0.01 < np.mean(pixels < 0.9) < 0.5  # neither empty nor full
    assert plt.get_fignums() == []


def test_one_run(make_run, figures):
    drawn = figures(make_run("one"))
    assert list(drawn) == ["grokking", "grokking_details"]
    main = drawn["grokking"]
    accuracy, mir, hdr = main.axes
    assert [axis.get_ylabel() for axis in main.axes] == ["accuracy", "MIR (test)", "HDR (test)"]
    assert _legend(accuracy) == ["test", "train"]
    assert _legend(mir) == _legend(hdr) == ["n = 64", "n = 16", "class level"]
    assert hdr.get_xlabel() == "epoch"
    assert main.get_suptitle() == "Grokking: a+b mod 13, 1 seed"
    for axis in main.axes:
        assert axis.get_xscale() == "symlog"
        low, high = axis.get_xlim()
        assert low <= 0 and 100 < high < 200


def test_curves_are_the_records(make_run, figures):
    drawn = figures(make_run("one"))
    records = list(_records(0.0, STEPS, SIZES))
    lines = {
        (f, axis.get_ylabel()): axis.lines for f, figure in drawn.items() for axis in figure.axes
    }
    main, details = "grokking", "grokking_details"
    expected = {
        (main, "accuracy"): ["test/accuracy", "train/accuracy"],
        (main, "MIR (test)"): ["test/mir_64", "test/mir_16", "test/class_mir"],
        (main, "HDR (test)"): ["test/hdr_64", "test/hdr_16", "test/class_hdr"],
        (details, "cross-entropy (nats)"): ["test/loss", "train/loss"],
        (details, "MIR, class level"): ["test/class_mir", "train/class_mir"],
        (details, "HDR, class level"): ["test/class_hdr", "train/class_hdr"],
        (details, "matrix entropy (nats)\ntest, n = 64"): [
            "test/entropy_features_64",
            "test/entropy_head_64",
        ],
        (details, "sum of squared weights"): ["weights/squared_norm"],
        (details, "NC1"): ["test/nc1", "train/nc1"],
    }
    assert set(lines) == set(expected)
    for label, metrics in expected.items():
        assert len(lines[label]) == len(metrics)
        for line, metric in zip(lines[label], metrics, strict=True):
            np.testing.assert_array_equal(line.get_xdata(), STEPS)
            np.testing.assert_allclose(line.get_ydata(), [r[metric] for r in records])


def test_details(make_run, figures):
    details = figures(make_run("one"))["grokking_details"]
    assert len(details.axes) == 6
    assert [axis.get_xscale() for axis in details.axes] == ["symlog"] * 6
    logarithmic = {a.get_ylabel() for a in details.axes if a.get_yscale() == "log"}
    assert logarithmic == {"cross-entropy (nats)", "NC1"}


def test_seeds(make_run, figures):
    """Mean and range over seeds, at the steps that all of them have reached."""
    workdir = make_run("many", 0.0, 1.0, 5.0)
    _write(workdir / "seed-10", 5.0, steps=STEPS[:-1])
    main = figures(workdir)["grokking"]
    assert main.get_suptitle() == "Grokking: a+b mod 13, mean and range of 3 seeds"
    (line, _), (band, _) = main.axes[0].lines, main.axes[0].collections
    np.testing.assert_array_equal(line.get_xdata(), STEPS[:-1])
    of_seed = [[r["test/accuracy"] for r in _records(o, STEPS[:-1], SIZES)] for o in (0, 1, 5)]
    np.testing.assert_allclose(line.get_ydata(), np.mean(of_seed, 0))
    edges = band.get_paths()[0].vertices[:, 1]
    assert edges.min() == pytest.approx(np.min(of_seed))
    assert edges.max() == pytest.approx(np.max(of_seed))


def test_seeds_are_in_numeric_order(make_run):
    """seed-8, seed-9, seed-10: not alphabetical."""
    run = load_run(make_run("many", 0.0, 1.0, 5.0))
    assert run.name == "many"
    firsts = [history[0]["test/accuracy"] for history in run.histories]
    assert firsts == sorted(firsts)


def test_a_copy_of_a_seed_is_no_seed(make_run):
    workdir = make_run("many", 0.0, 1.0)
    (workdir / "seed-8").rename(workdir / "seed-8-backup")
    assert len(load_run(workdir).histories) == 1


def test_overlay_names_every_task(make_run, figures):
    runs = [make_run("first"), make_run("second", 0.0, 1.0, modulus=17)]
    title = figures(*runs)["grokking"].get_suptitle()
    assert title == "Grokking: a+b mod 13 and a+b mod 17, mean and range of 1 or 2 seeds"


def test_seed_not_begun_yet(make_run, figures):
    workdir = make_run("many", 0.0, 1.0, 5.0)
    (workdir / "seed-10" / "metrics.jsonl").write_text("")
    assert figures(workdir)["grokking"].get_suptitle().endswith("mean and range of 2 seeds")


def test_overlay(make_run, figures):
    runs = [make_run("first"), make_run("second", 3.0)]
    main = figures(*runs)["grokking"]
    assert _legend(main.axes[0]) == ["first, test", "first, train", "second, test", "second, train"]
    colours = [line.get_color() for line in main.axes[0].lines]
    styles = [line.get_linestyle() for line in main.axes[0].lines]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert styles[0] == styles[2] != styles[1] == styles[3]
    weights = figures(*runs)["grokking_details"].axes[4]
    assert _legend(weights) == ["first", "second"]


def test_overlay_of_other_batch_sizes(make_run, figures):
    """Only batch sizes that the runs share are drawn; if none, an error says so."""
    runs = [make_run("a", sizes=(64, 16)), make_run("b", sizes=(32, 16))]
    assert _legend(figures(*runs)["grokking"].axes[1]) == [
        "a, n = 16",
        "a, class level",
        "b, n = 16",
        "b, class level",
    ]
    with pytest.raises(UserError, match="metric_batch_sizes"):
        figures(*runs, make_run("c", sizes=(8,)))


def test_overlay_of_runs_of_the_same_name(make_run, tmp_path):
    seen = []
    workdirs = [make_run("x/grokking"), make_run("y/grokking")]
    plots.draw(lambda runs: seen.extend(runs) or {}, workdirs, tmp_path / "figures")
    assert [run.name for run in seen] == [str(workdir) for workdir in workdirs]


def test_very_short_run(make_run, tmp_path):
    """A single step after 0, and no positive loss spike yet."""
    for path in plots.draw(
        grokking.figures, [make_run("short", steps=(0, 1))], tmp_path / "figures"
    ):
        assert path.stat().st_size > 10_000


def test_a_record_truncated_by_a_crash_is_ignored(make_run, figures):
    workdir = make_run("cut")
    with (workdir / "metrics.jsonl").open("a") as file:
        file.write('{"step": 200, "test/accu')
    assert figures(workdir)["grokking"].axes[0].lines[0].get_xdata()[-1] == 100


def test_errors(make_run, tmp_path):
    good, empty, started = make_run("good"), tmp_path / "empty", make_run("started", steps=(0,))
    empty.mkdir()
    other = make_run("other", experiment="other")
    broken, lacking = make_run("broken"), make_run("lacking", metric_batch_sizes=(7,))
    (broken / "config.json").write_text("[]")
    for workdirs, words in (
        ([tmp_path / "missing"], "missing is not a run"),
        ([empty], "empty is not a run"),
        ([good, empty], "empty is not a run"),
        ([started], "started holds no records yet"),
        ([good, other], "different experiments cannot share axes: grokking, other"),
        ([broken], "config.json is damaged"),
        ([lacking], "lacks 'test/mir_7'"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            plots.draw(grokking.figures, workdirs, tmp_path / "figures")
        assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "figures").exists()
