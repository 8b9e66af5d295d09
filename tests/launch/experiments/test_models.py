"""Experiments with other models than WideResNet; the user's are those of docs/models.md."""

import json
import math
import re
import shutil
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from configs import (
    cifar10,
    mode_connectivity as mode_configs,
    pruning as pruning_configs,
)
from infojax import training
from infojax._trees import named_leaves
from infojax.errors import UserError
from infojax.models.classifier import Classifier
from launch import classification, fine_tuning, networks, runs
from launch.experiments import mode_connectivity, pruning
from launch.results import mode_connectivity as results
from tests.data import snippets
from tests.launch.launcher import ROOT, run_here, timeless

SMOKE = "configs/cifar10.py:smoke"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The modules of docs/models.md, importable."""
    directory = tmp_path_factory.mktemp("page")
    names = []
    for source in snippets.python(ROOT / "docs" / "models.md"):
        names.append(re.match(r"# (\w+)\.py\n", source).group(1))
        (directory / f"{names[-1]}.py").write_text(source)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(directory)
        yield names
    for name in names:
        sys.modules.pop(name, None)


def test_the_linen_model_of_the_page(page):
    config = cifar10.get_config("smoke")
    config.model = f"{page[0]}:small_cnn"
    networks.check(config)
    model = networks.make_model(config, (8, 8, 1), 10)
    params, state = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 8, 8, 1)))
    assert set(params) == {"conv1", "norm", "conv2", "head"} and set(state) == {"batch_stats"}


def test_the_nnx_model_of_the_page_trains_and_resumes(page, tmp_path):
    """Bit for bit, with BatchNorm statistics in its checkpoints."""
    settings = {
        **{"model": f"{page[1]}:small_cnn", "num_steps": 24, "eval_every": 12, "ema_decay": 0.0},
        **{"checkpoint_every": 12, "population_splits": "()"},
    }
    whole = run_here(tmp_path / "whole", SMOKE, settings)
    first, *_, last = records = training.read_records(whole)
    assert last["test/accuracy"] > max(0.25, first["test/accuracy"])
    assert 0 < last["test/mir_32"] < 1
    summary = json.loads((whole / "summary.json").read_text())
    assert page == ["my_models", "my_nnx_models"] and summary["model"] == settings["model"]
    shutil.rmtree(whole / "checkpoints" / "24")
    run_here(whole, SMOKE, settings)
    again = training.read_records(whole)
    assert [r["step"] for r in records] == [0, 12, 24] and timeless(again) == timeless(records)
    assert again[-1]["seconds"] != last["seconds"]  # it was trained again from step 12


@pytest.mark.usefixtures("no_training")
def test_mode_connectivity_without_batchnorm(tmp_path):
    """One treatment is measured; the others are null in points, summary and figures."""
    config = _mode()
    program = classification.build(mode_connectivity.endpoint_config(config, 0, 0.1, "a"))
    line = mode_connectivity.make_line(program, config)
    a, b = (_network(program, config, seed) for seed in (0, 1))
    found = line(a, b, 0.5)
    assert found["recomputed"] is None and found["first"] is None
    assert math.isfinite(found["interpolated"]["test/population_mir"])
    key = {"seed": 0, "learning_rate": 0.1, "seconds": 1.0}
    points = [key | {"omega": omega} | found for omega in (0.0, 0.5, 1.0)]
    summary = results.summarize(points, config)
    assert summary["results"]["0.1"]["first"] is None and summary["artefacts"] == {}
    assert summary["results"]["0.1"]["interpolated"]["error_barrier"]["mean"] == 0
    assert summary["observations"]["artefact"]["holds"] == [None]
    (tmp_path / "config.json").write_text(config.to_json())
    (tmp_path / "points.jsonl").write_text("".join(json.dumps(p) + "\n" for p in points))
    drawn = mode_connectivity.figures([runs.load_run(tmp_path)])["mode_connectivity"]
    assert "MLP-2x64" in drawn.get_suptitle() and not drawn.legends
    assert [len(axis.lines) for axis in drawn.axes] == [1, 1, 1]
    plt.close("all")


def _mode(**changes):
    config = mode_configs.get_config("smoke")
    changes = {"learning_rates": (0.1,), "num_omegas": 3, "num_seeds": 1, **changes}
    config.update({"model": "mlp", **changes})
    return config


def _network(program, config, seed):
    endpoint = mode_connectivity.endpoint_config(config, seed, 0.1, "a")
    state = classification.init_state(program, endpoint, seed)
    return mode_connectivity.Network(*training.replicate((state.params, state.model_state)))


@pytest.mark.usefixtures("no_training")
def test_treatments_that_need_batchnorm(tmp_path):
    with pytest.raises(UserError, match="'mlp' has no BatchNorm statistics; treatments must hold"):
        mode_connectivity.run(_mode(treatments=("recomputed", "first")), tmp_path)


def _pruning(**changes):
    config = pruning_configs.get_config("smoke")
    config.update(changes)
    return config


def test_pruning_prunes_kernels_outside_the_head():
    for prune_head in (False, True):
        config = _pruning(model="vit", prune_head=prune_head)
        program = fine_tuning.build(config, pruning.finetune_config(config))
        example = np.zeros((1, 8, 8, 1), np.float32)
        shapes, _ = jax.eval_shape(program.network.model.init, jax.random.key(0), example)
        chosen = {name for name, x in named_leaves(shapes) if program.prunable(name, x)}
        layers = ("query", "key", "value", "out", "mlp1", "mlp2")
        expected = {f"block{i}/{layer}/kernel" for i in range(2) for layer in layers}
        assert chosen == expected | {"patches/kernel"} | ({"head/kernel"} if prune_head else set())


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("there", "here", "message"),
    [
        ({"mlp_width": 32}, {}, "mlp_width: 32 there, 64 here"),
        ({"model": "vit"}, {}, "model: vit there, mlp here"),
        ({"depth": 28}, {}, "holds no checkpoints of seed 0"),  # not of this model
        (None, {"model": "wide_resnet"}, "holds no checkpoints of seed 0"),
        (None, {"model": "wide_resnet", "wide_resnet_form": "usb"}, "tensorflow there, usb here"),
    ],
)
def test_the_trained_run_must_be_of_the_same_network(tmp_path, there, here, message):
    """A run of an older version (None) is of WideResNet in TensorFlow's form."""
    config = _pruning(**{"model": "mlp", "trained": str(tmp_path / "trained"), **here})
    trained = json.loads(pruning.supervised_config(config).to_json())
    if there is None:
        del trained["model"], trained["wide_resnet_form"]
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "config.json").write_text(json.dumps(trained | (there or {})))
    with pytest.raises(UserError, match=message):
        pruning.run(config, tmp_path / "study")


def plain(config, image_shape, num_classes):
    """A classifier in plain JAX, with names of its own."""
    inputs = math.prod(image_shape)

    def init(key, images):
        a, b = jax.random.split(key)
        weights = jax.random.normal(a, (inputs, 8)) / math.sqrt(inputs)
        return {"w1": weights, "out": jax.random.normal(b, (num_classes, 8))}, {}

    def apply(params, state, images, train):
        z = jnp.tanh(images.reshape(len(images), -1) @ params["w1"])
        return z, z @ params["out"].T, state

    return Classifier(init, apply, lambda params: (params["out"], jnp.zeros(num_classes)))


def test_pruning_a_model_without_kernels():
    config = _pruning(model=f"{__name__}:plain")
    with pytest.raises(UserError, match="has no parameters named kernel outside its head"):
        fine_tuning.build(config, pruning.finetune_config(config))
    shapes = jax.eval_shape(plain(config, (8, 8, 1), 10).init, jax.random.key(0), np.zeros(()))[0]
    assert fine_tuning.head_leaves(plain(config, (8, 8, 1), 10), shapes) == {"out"}
