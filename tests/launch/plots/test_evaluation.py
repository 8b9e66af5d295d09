"""The figure of an evaluation: what it draws, of which splits and layers."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

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


@pytest.fixture
def figure():
    drawn = []

    def draw(*entries, sizes=(64,)):
        found = {f"cifar10/{entry['split']}": entry for entry in entries}
        drawn.append(evaluation.figure(found, sizes))
        return drawn[-1]

    yield draw
    for each in drawn:
        plt.close(each)


def test_means_by_layer(figure):
    drawn = figure(_entry("test", 2), _entry("train", 2))
    axes = drawn.axes
    assert drawn.get_suptitle() == "cifar10, WideResNet-28-2, step 1,200, mean and range of 2 seeds"
    assert [len(axis.lines) for axis in axes] == [4, 4, 2, 2]
    for line in axes[0].lines:
        np.testing.assert_allclose(line.get_ydata(), [0.15, 0.25, 0.35])
    assert [label.get_text() for label in axes[2].get_xticklabels()] == list(LAYERS)
    names = [text.get_text() for text in drawn.legends[0].texts]
    assert names == [
        f"{s}, {n}" for s in ("test", "train") for n in ("batches of 64", "all images")
    ]
    assert len({line.get_color() for line in axes[0].lines}) == 2
    assert len(axes[0].collections) == 4  # ranges over seeds


def test_standard_errors_of_one_seed_and_another_order(figure):
    drawn = figure(_entry("test", 1, alpha=2.0))
    title = "cifar10, WideResNet-28-2, step 1,200, order 2, 1 seed (bars: standard error)"
    assert drawn.get_suptitle() == title
    (bars,) = drawn.axes[0].collections
    np.testing.assert_allclose([s[1, 1] - s[0, 1] for s in bars.get_segments()], 0.02)
    assert not drawn.axes[1].collections


def test_every_size_looks_different(figure):
    """As lines, and as points where there is one layer."""
    sizes, entry = (16, 32, 64, 128, 256), _entry("test", 1)
    for layer in entry["layers"].values():
        for n in sizes:
            layer |= {f"mir_{n}": layer["mir_64"], f"hdr_{n}": layer["hdr_64"]}
    lines = figure(entry, sizes=sizes).axes[0].lines
    drawn = [line for line in lines if not line.get_label().startswith("_")]
    for looks in (
        {str(line._unscaled_dash_pattern) for line in drawn},
        {x.get_marker() for x in drawn},
    ):
        assert len(looks) == len(drawn) == 6
