"""Figures over seeds and conditions of grokking: what they draw, at both levels."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from launch.plots import grokking, grokking_conditions, grokking_seeds, grokking_spectra
from launch.results import conditions, ensembles
from launch.runs import Run, load_run
from tests.launch import saved_runs
from tests.launch.results.curves import STEPS, N, history

LEVELS = [f"n = {N}", "class level"]


def _run(name, *histories):
    config = {"metric_batch_sizes": [4, N], "seed": 3, "operation": "a+b", "modulus": 59}
    return Run(name, Path("nowhere"), config, list(histories))


RUN = _run("a=1", *(history(at=at) for at in (800, 1_500, 2_400)), history())


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def _legend(axis):
    return [text.get_text() for text in axis.get_legend().get_texts()]


def test_bands_over_epochs_and_aligned():
    """Median and quartiles; at the onset the median of aligned accuracy is a half."""
    figure = grokking_seeds.figures(RUN, "a+b mod 59")["grokking_aligned"]
    axes = np.reshape(figure.axes, (3, 2))
    assert [_legend(axis) for axis in axes[:, 0]] == [["test", "train"], LEVELS, LEVELS]
    assert [axis.get_ylabel() for axis in axes[:, 0]] == ["accuracy", "MIR (test)", "HDR (test)"]
    mir = axes[1, 0].lines[0]
    values = [[r[f"test/mir_{N}"] for r in h if r["step"]] for h in RUN.histories]
    np.testing.assert_array_equal(mir.get_xdata(), STEPS[1:])
    np.testing.assert_allclose(mir.get_ydata(), np.median(values, 0))
    edges = axes[1, 0].collections[0].get_paths()[0].vertices[:, 1]
    low, high = np.percentile(values, [25, 75], axis=0)
    assert (edges.min(), edges.max()) == pytest.approx((low.min(), high.max()))
    aligned = axes[0, 1].lines[0]
    at_onset = np.interp(1, aligned.get_xdata(), aligned.get_ydata())
    assert at_onset == pytest.approx(0.5, abs=0.05)
    assert axes[0, 1].get_title().startswith("the 3 that generalise")
    assert axes[0, 0].get_title() == "all 4 seeds"


def test_a_panel_for_every_seed():
    figure = grokking_seeds.figures(RUN, "task")["grokking_seeds"]
    assert [axis.get_title() for axis in figure.axes] == [f"seed {k}" for k in (3, 4, 5, 6)]
    assert [len(axis.lines) for axis in figure.axes] == [6, 6, 6, 5]  # the last has no onset
    mark = figure.axes[1].lines[-1].get_xdata()
    assert mark == pytest.approx([1_500, 1_500], rel=0.02)
    names = [text.get_text() for text in figure.legends[0].texts]
    assert names == [
        "accuracy, test",
        *(f"{q}, {level}" for q in ("MIR", "HDR") for level in LEVELS),
    ]
    np.testing.assert_allclose(
        figure.axes[0].lines[4].get_ydata(), [r["test/class_hdr"] for r in RUN.histories[0][1:]]
    )


def test_order_of_transitions():
    led = _run("a=1", *(history(at=at, mir=0.8) for at in (800, 1_500, 2_400)))
    figure = grokking_seeds.figures(led, "task")["grokking_order"]
    start, half = figure.axes
    rows = [label.get_text() for label in start.get_yticklabels()]
    assert rows[0] == f"MIR (n = {N}) falls (3)" and "MIR (class level) falls (3)" in rows
    seeds, interval, mean = half.lines[:3]
    np.testing.assert_allclose(seeds.get_xdata(), [0.8] * 3, atol=0.03)
    low, high = interval.get_xdata()
    assert low <= mean.get_xdata()[0] <= high < 1


def test_conditions():
    never = _run("a=0", *(history(mir=None, hdr=None) for _ in range(4)))
    drawn = grokking_conditions.comparison_figures([RUN, never])
    first = ["grokking_aligned", "grokking_seeds", "grokking_order"]  # of the first condition
    assert list(drawn) == ["grokking_conditions", "grokking_onsets", *first]
    rows = np.reshape(drawn["grokking_conditions"].axes, (2, 3))
    assert [row[0].get_ylabel() for row in rows] == [
        "a = 1\n3 of 4 generalise",
        "a = 0\n0 of 4 generalise",
    ]
    assert [_legend(axis) for axis in rows[0]] == [["test", "train"], LEVELS, LEVELS]
    left, right = drawn["grokking_onsets"].axes
    bounds = [line for line in left.lines if line.get_marker() == ">"]
    assert len(bounds) == 5 and {line.get_markerfacecolor() for line in bounds} == {"none"}
    found = [ensembles.read(run) for run in (RUN, never)]
    ratios = conditions.paired(found[1], found[0])["ratios"]
    drawn_ratios = [line.get_xdata()[0] for line in right.lines if line.get_marker() == ">"]
    assert drawn_ratios == pytest.approx(ratios) and len(ratios) == 3


def test_one_condition_and_no_onset():
    never = _run("a=0", history(mir=None, hdr=None))
    assert list(grokking_conditions.comparison_figures([never])) == ["grokking_conditions"]
    figures = grokking_seeds.figures(_run("a", history(), history()), "task")
    assert figures["grokking_aligned"].axes[1].get_title().startswith("the 0 that generalise")
    for figure in figures.values():
        figure.draw_without_rendering()


def test_spectra(tmp_path):
    """Those of the checkpoint, and of the parameters that the seed starts from."""
    workdir, _, params = saved_runs.grokked(tmp_path / "run")
    record = {"step": saved_runs.STEP, "seconds": 1.0}
    (workdir / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    run = load_run(workdir)
    (figure,) = grokking_spectra.figures(run, "a+b mod 13").values()
    assert [axis.get_title() for axis in figure.axes] == ["embedding", "neurons to logits"]
    embed = np.asarray(params["embed"][:-1], float)
    expected = np.linalg.norm(np.fft.rfft(embed, axis=0)[1:], axis=1) * np.sqrt(2 / 13)
    axis = figure.axes[0]
    np.testing.assert_allclose([bar.get_height() for bar in axis.patches], expected, rtol=1e-5)
    np.testing.assert_allclose(axis.lines[0].get_ydata(), expected, rtol=1e-5)  # untrained
    random = run._replace(config=run.config | {"operation": "random"})
    assert grokking_spectra.figures(random, "task") == {}
    assert grokking_spectra.figures(RUN._replace(workdir=tmp_path / "none"), "task") == {}


def test_progress_measures(tmp_path):
    """Drawn where they are recorded, with the chance level of MIR where that is."""
    names = [f"fourier/{x}" for x in ("gini_embedding", "gini_logit_map", "num_key_frequencies")]
    names += ["test/restricted_loss", "train/excluded_loss", "test/effective_rank"]
    names += ["test/loss", "train/loss", "test/nc1", "train/nc1"]
    names += [f"train/class_{x}" for x in ("mir", "hdr")]
    names += [f"test/{x}_{n}" for x in ("mir", "hdr", "entropy_features") for n in (4, N)]
    names += [f"test/entropy_head_{n}" for n in (4, N)]
    more = {name: 0.1 * (i + 1) for i, name in enumerate(names)}
    records = [more | record for record in history(at=900)]
    run = _run("a=1", records)._replace(workdir=tmp_path)
    figure = grokking.figures([run])["grokking_progress"]
    drawn = {axis.get_ylabel(): axis.lines for axis in figure.axes}
    assert len(drawn) == 6 and [len(lines) for lines in drawn.values()] == [2, 1, 2, 2, 1, 1]
    (rank,) = drawn["effective rank, test"]
    np.testing.assert_allclose(rank.get_ydata(), more["test/effective_rank"])
    chance = {f"test/{x}_{N}": 0.3 for x in ("chance_mir", "corrected_mir")}
    again = run._replace(histories=[[chance | record for record in records]])
    mir = grokking.figures([again])["grokking_progress"].axes[4]
    assert _legend(mir) == ["MIR", "chance level", "corrected"]
