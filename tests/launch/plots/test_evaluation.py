"""The figure of an evaluation: what it draws, of which splits and layers."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest

import infojax
from launch.plots import evaluation

LAYERS = ("stem", "block", "features")
METRICS = ("mir_64", "hdr_64", "population_mir", "population_hdr", "entropy", "nc1")


def _entry(split, seeds, **changes):
    def values(i):
        return {name: {"by_seed": [0.1 * (i + j + 1) for j in range(seeds)]} for name in METRICS}

    layers = {layer: values(i) for i, layer in enumerate(LAYERS)}
    for layer in layers.values():
        layer["mir_64_error"] = {"mean": 0.01}
    entry = {"dataset": "cifar10", "split": split, "alpha": 1.0, "model": "WideResNet-28-2"}
    return entry | {"steps": [1200] * seeds, "layers": layers} | changes


def _at_collapse(axis):
    """The height of the line at collapse; None if there is none."""
    found = [line.get_ydata()[0] for line in axis.lines if line.get_label() == "at collapse"]
    return found[0] if found else None


@pytest.fixture
def figure():
    drawn = []

    def draw(*entries, sizes=(64,)):
        found = {f"cifar10/{entry['split']}": entry for entry in entries}
        drawn.append(evaluation.figure(found, sizes, 10))
        return drawn[-1]

    yield draw
    for each in drawn:
        plt.close(each)


def test_means_by_layer(figure):
    drawn = figure(_entry("test", 2), _entry("train", 2))
    axes = drawn.axes
    assert drawn.get_suptitle() == "cifar10, WideResNet-28-2, step 1,200, mean and range of 2 seeds"
    assert [len(axis.lines) for axis in axes] == [5, 5, 3, 2]  # one of them at collapse
    for line in axes[0].lines[:-1]:
        np.testing.assert_allclose(line.get_ydata(), [0.15, 0.25, 0.35])
    assert [label.get_text() for label in axes[2].get_xticklabels()] == list(LAYERS)
    names = [text.get_text() for text in drawn.legends[0].texts]
    curves = [f"{s}, {n}" for s in ("test", "train") for n in ("batches of 64", "all images")]
    assert names == [*curves, "at collapse"]
    assert len({line.get_color() for line in axes[0].lines[:-1]}) == 2
    assert len(axes[0].collections) == 4  # ranges over seeds


def test_standard_errors_of_one_seed_and_another_order(figure):
    drawn = figure(_entry("test", 1, alpha=2.0))
    title = "cifar10, WideResNet-28-2, step 1,200, order 2, 1 seed (bars: standard error)"
    assert drawn.get_suptitle() == title
    (bars,) = drawn.axes[0].collections
    np.testing.assert_allclose([s[1, 1] - s[0, 1] for s in bars.get_segments()], 0.02)
    assert not drawn.axes[1].collections
    assert [_at_collapse(axis) for axis in drawn.axes] == [None, 0, math.log(9), None]


def test_values_at_collapse(figure):
    drawn = figure(_entry("test", 1))
    found = [_at_collapse(axis) for axis in drawn.axes]
    assert found == [infojax.collapse.mir_at_collapse(10), 0, math.log(9), None]


def test_every_size_looks_different(figure):
    """As lines, and as points where there is one layer."""
    sizes, entry = (16, 32, 64, 128, 256), _entry("test", 1)
    for layer in entry["layers"].values():
        for n in sizes:
            layer |= {f"mir_{n}": layer["mir_64"], f"hdr_{n}": layer["hdr_64"]}
    lines = figure(entry, sizes=sizes).axes[0].lines
    drawn = [line for line in lines if line.get_label()[0] not in "_a"]  # without "at collapse"
    for looks in (
        {str(line._unscaled_dash_pattern) for line in drawn},
        {x.get_marker() for x in drawn},
    ):
        assert len(looks) == len(drawn) == 6
