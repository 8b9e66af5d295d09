"""What all figures share: step 0, plain labels, values at collapse, size, ranges, legends."""

import json
import math
import re

import matplotlib.pyplot as plt
import numpy as np
import pytest

from configs import (
    cifar10,
    label_smoothing,
    mode_connectivity,
    prompt_learning,
    pruning,
    semisupervised as few,
)
from infojax import collapse
from launch import experiment
from launch.plots import panels
from launch.runs import load_run

STEPS = (0, 5, 10, 100)
CONFIGS = {
    "supervised": cifar10,
    "semisupervised": few,
    "prompt_learning": prompt_learning,
    "mode_connectivity": mode_connectivity,
    "pruning": pruning,
    "sweep": label_smoothing,
}
WHOLE = (
    *("accuracy", "raw_accuracy", "best_accuracy", "loss", "nc1", "class_mir", "class_hdr"),
    *("population_mir", "population_hdr", "between_population_hdr"),
)
BY_SIZE = ("mir", "hdr", "entropy_features", "entropy_head", "between_mir", "between_hdr")
OF_BATCH = (
    *("accuracy", "loss", "mutual_information", "entropy_difference", "threshold"),
    *("lowest_threshold", "mask_rate", "pseudo_label_accuracy"),
)
BY_WEIGHT = ("accuracy", "modality_gap", "class_entropy", "mir", "hdr")


def _record(step, config):
    """Everything that any experiment records; nothing of a step's batch before the first step."""
    sizes = config.get("metric_batch_sizes", ())
    weights = config.get("alignment_weights", ())
    weights = ["0", *(f"{weight:g}" for weight in weights)]
    names = [f"{split}/{x}" for split in ("train", "test") for x in WHOLE]
    names += [f"{split}/{x}_{n}" for split in ("train", "test") for x in BY_SIZE for n in sizes]
    names += [f"{s}/{x}_{w}" for s in ("test", "validation") for x in BY_WEIGHT for w in weights]
    names += [f"batch/{x}" for x in OF_BATCH] if step else []
    values = {name: (1 + i + step / 200) / (2 + len(names)) for i, name in enumerate(names)}
    return {"step": step, "seconds": 1.0 * step, **values}


def _points(name, config):
    last = _record(100, config)
    if name == "pruning":
        keys = [("one_shot", 0.0), ("one_shot", 0.5), ("random", 0.5)]
        return [
            {"seed": 0, "method": m, "sparsity": s, "before": last, "after": last} for m, s in keys
        ]
    if name == "mode_connectivity":
        found = dict.fromkeys(config["treatments"], last)
        omegas = np.linspace(0, 1, config["num_omegas"]).tolist()
        rate = config["learning_rates"][0]
        return [{"seed": 0, "learning_rate": rate, "omega": w, **found} for w in omegas]
    return []


def _summary(config):
    values = {"mean": 0.5, "std": 0.1, "by_seed": [0.4, 0.6]}
    difference = {"mean": 0.1, "low": -0.1, "high": 0.3}
    points = [
        {
            "values": {"label_smoothing": x},
            "metrics": {m: values | {"difference": d} for m in config["table_metrics"]},
        }
        for x, d in ((0.0, None), (0.5, difference))
    ]
    return {"seeds": [0, 1], "points": points, "model": "MLP-2x64"}


@pytest.fixture
def draw(tmp_path):
    def figures(name, described=True):
        config = json.loads(CONFIGS[name].get_config("smoke").to_json())
        (tmp_path / "config.json").write_text(json.dumps(config))
        records, points = [_record(step, config) for step in STEPS], _points(name, config)
        for file, lines in (("metrics.jsonl", records), ("points.jsonl", points)):
            (tmp_path / file).write_text("".join(json.dumps(line) + "\n" for line in lines))
        if name == "sweep":
            (tmp_path / "summary.json").write_text(json.dumps(_summary(config)))
        if described:
            (tmp_path / "data.json").write_text('{"num_classes": 10}')
        return experiment.load(name).figures([load_run(tmp_path)])

    yield figures
    plt.close("all")


def _texts(figure):
    """Titles, labels and legends."""
    found = [figure.get_suptitle()]
    legends = list(figure.legends)
    for axis in figure.axes:
        found += [axis.get_title(), axis.get_xlabel(), axis.get_ylabel()]
        legends += [axis.get_legend()] if axis.get_legend() else []
    return found + [text.get_text() for legend in legends for text in legend.get_texts()]


def _collapsed(figure):
    """Heights of the dotted lines by the first word of the axis."""
    heights = {}
    for axis in figure.axes:
        for line in axis.lines:
            if line.get_label() == "at collapse":
                word = re.split(r"\W", axis.get_ylabel() or axis.get_title())[0]
                heights.setdefault(word, set()).add(line.get_ydata()[0])
    return heights


@pytest.mark.parametrize("name", CONFIGS)
def test_of_every_figure(draw, name):
    """One width; words instead of names of metrics; whole range of ratios; legends off curves."""
    drawn = draw(name)
    for figure in drawn.values():
        assert figure.get_figwidth() == panels.WIDTH
        assert not [text for text in _texts(figure) if re.search(r"\w/\w|[a-z]_\d", text)]
        figure.canvas.draw()
        for axis in figure.axes:
            label = f"{axis.get_ylabel()} {axis.get_title()}"
            if axis.get_visible() and re.match(r"\s*(test accuracy|MIR|HDR)", label):
                assert axis.get_ylim() == panels.RATIOS, label
            if axis.get_legend():
                legend = axis.get_legend().get_window_extent()
                assert not any(legend.overlaps(a.bbox) for a in figure.axes)
                assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1


def test_step_0_is_drawn(draw):
    for figure in draw("supervised").values():
        for axis in figure.axes:
            curves = [line for line in axis.lines if line.get_label() != "at collapse"]
            for line in curves:
                of_batch = line.get_label().startswith("batch of the step")
                np.testing.assert_array_equal(line.get_xdata(), STEPS[1:] if of_batch else STEPS)


def test_step_0_on_a_logarithmic_axis(draw):
    for axis in draw("prompt_learning")["prompt_learning"].axes:
        assert axis.get_xscale() == "symlog"
        assert axis.get_xlim()[0] <= 0
        np.testing.assert_array_equal(axis.lines[0].get_xdata(), STEPS)
        at = axis.transData.transform([(x, 0.5) for x in STEPS])[:, 0]
        assert np.all(np.diff(at) > 10)  # pixels: 0 has a place of its own
        labels = [axis.xaxis.get_major_formatter()(x, 0) for x in (0, 10, 1000)]
        assert labels == ["0", "10", "1,000"]


@pytest.mark.parametrize("name", ["supervised", "semisupervised", "mode_connectivity", "pruning"])
def test_values_at_collapse(draw, name):
    found = {}
    for figure in draw(name).values():
        found |= _collapsed(figure)
    expected = {"MIR": {collapse.mir_at_collapse(10)}, "HDR": {0.0}}
    entropy = "entropy" if name == "mode_connectivity" else "matrix"
    assert found == expected | ({} if name == "pruning" else {entropy: {math.log(9)}})


def test_values_at_collapse_in_a_grid(draw):
    found = _collapsed(draw("sweep")["sweep"])
    assert found == {"MIR": {collapse.mir_at_collapse(10)}, "HDR": {0.0}}


def test_no_line_without_a_number_of_classes(draw):
    assert not any(_collapsed(figure) for figure in draw("supervised", described=False).values())


def test_legends_have_the_columns_that_fit():
    figure, axes = panels.page(1, 2, 3)
    for axis, names in zip(axes[0], (["a", "b", "c"], ["a long name of a run"] * 3), strict=True):
        for name in names:
            axis.plot([0, 1], label=name)
        panels.legend_above(axis)
    assert [axis.get_legend()._ncols for axis in axes[0]] == [3, 1]
    plt.close(figure)
