"""The study of dependence, from the command line to figures; what it measures and refuses."""

import json
import shutil

import jax
import numpy as np
import pytest

from configs import dependence as configs
from infojax.errors import UserError
from infojax.training.checkpoint import Checkpoints, load
from launch import runs
from launch.experiments import dependence
from launch.ledger import FILE, read_points
from tests import reference
from tests.launch import saved_runs
from tests.launch.launcher import run_here

CONFIG = "configs/dependence.py:smoke"
SETTINGS = {"images": 64, "batch_size": 16, "batch_sizes": "(16,)", "orders": "('1',)"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two seeds of a small network at step 12, and of the first also a checkpoint of step 4."""
    workdir, _ = saved_runs.supervised(
        tmp_path_factory.mktemp("trained") / "run", model="mlp", num_seeds=2
    )
    _, arrays = load(workdir / "seed-0" / "checkpoints")
    checkpoints = Checkpoints(workdir / "earlier")
    checkpoints.save(4, arrays | {"ema": jax.tree.map(lambda x: x + 1, arrays["ema"])})
    checkpoints.close()
    shutil.move(workdir / "earlier" / "4", workdir / "seed-0" / "checkpoints" / "4")
    return workdir


@pytest.fixture(scope="module")
def finished(trained, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "dependence"
    return run_here(workdir, CONFIG, {"run": trained, **SETTINGS})


def test_every_network_is_measured(trained, finished):
    points = read_points(finished)
    networks = list(dict.fromkeys((p["seed"], p["step"]) for p in points))
    assert networks == [(0, 0), (0, 4), (0, 12), (1, 0), (1, 12)]
    (end,) = (p for p in points if (p["seed"], p["step"], p["factor"]) == (1, 12, "base"))
    run = runs.load(trained, seed=1)
    images, y = (x[:64] for x in run.data().test)
    expected = reference.sample_interplay(run.features(images)[0], y, run.head[0])
    np.testing.assert_allclose(
        [end["all"][m] for m in ("entropy_features", "entropy_head", "mir", "hdr")],
        np.take(expected, (0, 1, 4, 5)),
        rtol=1e-4,
    )
    by_step = {p["step"]: p["all"]["mir"] for p in points if p["factor"] == "base"}
    assert len(set(by_step.values())) == 3


def test_what_is_written(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert (summary["steps"], summary["seeds"]) == ([0, 4, 12], [0, 1])
    assert summary["model"] == "MLP-2x64"
    spread = summary["results"]["12"]["base"][""]["batch"]["corrected_mir"]
    assert len(spread["by_seed"]) == 2
    assert summary["observations"]["too_small"]["measured"] == [1.0]  # 16 samples
    table = (finished / "table.md").read_text()
    assert "## Step 12" in table and "| against | logits |" in table
    for name in ("batch_size", "choices", "layers"):
        assert (finished / "figures" / f"dependence_{name}.png").stat().st_size > 10_000
    assert (finished / "report.html").exists()


def test_a_study_continues(trained, finished, tmp_path):
    workdir = shutil.copytree(finished, tmp_path / "run")
    lines = (workdir / FILE).read_text().splitlines(keepends=True)
    (workdir / FILE).write_text("".join(lines[:-3]))
    run_here(workdir, CONFIG, {"run": trained, **SETTINGS})
    assert (workdir / FILE).read_text() == "".join(lines)


def test_parameters_before_training_are_those_of_the_seed(trained):
    end = runs.load(trained, seed=1)
    start, same = dependence.during(end)
    assert (start.step, same) == (0, end)
    expected = saved_runs.classification.build(end.config).model.init(
        jax.random.key(1), np.zeros((1, 8, 8, 1), np.float32)
    )[0]
    for x, y in zip(jax.tree.leaves(start.params), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": ""}, "run must name the directory of a finished run"),
        ({"orders": ("1", "x")}, "orders must hold positive numbers"),
        ({"batch_sizes": (1,)}, "batch_sizes must hold sizes of at least 2"),
        ({"imbalances": (0.5,)}, "imbalances must hold ratios of at least 1"),
        ({"batch_sizes": (16, 16)}, "batch_sizes must hold every value once"),
        ({"orders": ("1", "1.0")}, "orders must hold every value once"),
        ({"imbalances": (2.0, 2.0000001)}, "imbalances must hold every value once"),
        ({"batch_size": 512}, r"batch_size = 512 exceeds the \d+ images of the smallest point"),
        ({"images": 40}, r"batch_size = 32 exceeds the \d+ images of the smallest point"),
    ],
)
def test_refused_settings(trained, tmp_path, changes, message):
    config = configs.get_config("smoke")
    config.update({"run": str(trained), "images": 64, **changes})
    with pytest.raises(UserError, match=message):
        dependence.run(config, tmp_path)


def test_refused_runs(trained, tmp_path):
    unfinished = shutil.copytree(trained, tmp_path / "unfinished")
    settings = json.loads((unfinished / "config.json").read_text())
    (unfinished / "config.json").write_text(json.dumps(settings | {"num_steps": 20}))
    with pytest.raises(UserError, match="seed 0 is at step 12 of 20"):
        dependence.finished(unfinished)
    workdir, *_ = saved_runs.grokked(tmp_path / "grokking")
    with pytest.raises(UserError, match="is a run of grokking, not of images"):
        dependence.finished(workdir)
