"""Pruned networks: exact zeros in checkpoints on any number of devices, comparison with before."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest

from configs import pruning as configs
from infojax import training
from infojax.errors import UserError
from infojax.training.recorder import read_lines, read_records
from launch import __main__ as launch
from launch import fine_tuning, plots, pruning
from tests import reference

ROOT = Path(__file__).parents[3]
SETTINGS = {"num_seeds": 1, "num_steps": 40, "eval_every": 40, "checkpoint_every": 40}
SPARSITIES = (0.0, 0.5, 0.9)
# Kernels of WideResNet-10-1 on images of one channel, without the head.
KERNELS = 9 * (16 + 16 * 16 * 2 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 16 * 32 + 32 * 64


def smoke(**changes):
    config = configs.get_config("smoke")
    config.update(SETTINGS | changes)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run through the command line's main function."""
    run = tmp_path_factory.mktemp("runs") / "pruning"
    arguments = [f"--config.{name}={value}" for name, value in SETTINGS.items()]
    arguments += ["--config=configs/pruning.py:smoke", f"--workdir={run}"]
    with pytest.MonkeyPatch.context() as patch, pytest.warns(DeprecationWarning, match="."):
        patch.chdir(ROOT)
        patch.setattr(launch, "_cache_compilations", lambda: None)
        assert launch.main(["launch", *arguments]) == 0
    return run


@pytest.fixture(scope="module")
def points(finished):
    lines = read_lines(finished / "points.jsonl")
    return {(p["method"], p["sparsity"]): p for p in lines}


@pytest.fixture(scope="module")
def study():
    config = smoke()
    return fine_tuning.build(config, pruning.finetune_config(config))


@pytest.fixture(scope="module")
def trained(study, finished):
    return pruning.load(study, finished / "trained", 0)


@pytest.fixture(scope="module")
def template(study, trained):
    return training.init_state(study.update, trained.params, trained.model_state)


def checkpoint(run, template, method, sparsity):
    at = run / "seed-0" / f"{method},sparsity={sparsity}"
    return fine_tuning.read_checkpoint(at, template)


def kernels(tree):
    """Prunable leaves in the order of the flattened tree, as one vector."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    chosen = [x for path, x in leaves if np.ndim(x) > 1 and path[0].key != "head"]
    return np.concatenate([np.ravel(x) for x in chosen])


def others(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    chosen = [x for path, x in leaves if np.ndim(x) < 2 or path[0].key == "head"]
    return np.concatenate([np.ravel(x) for x in chosen])


# The run


def test_run_directory(finished, points):
    names = {p.name for p in finished.iterdir() if not p.name.startswith(".")}
    assert names == {
        "config.json",
        "environment.json",
        "points.jsonl",
        "trained",
        "seed-0",
        "figures",
        "summary.json",
    }
    above = [(m, s) for m in fine_tuning.METHODS for s in SPARSITIES[1:]]
    assert set(points) == {("one_shot", 0.0), *above}
    assert {p.name for p in (finished / "seed-0").iterdir()} == {
        f"{method},sparsity={sparsity}" for method, sparsity in points
    }


def test_weights_are_pruned_exactly(points, finished, trained, template):
    """In the checkpoints: the smallest of the trained network's; floor(s n) of them, no others."""
    before = np.asarray(kernels(trained.params))
    assert before.size == KERNELS
    order = np.argsort(np.abs(before), kind="stable")
    for (method, sparsity), point in points.items():
        state = checkpoint(finished, template, method, sparsity)
        assert int(state.step) == 6
        masked = ~kernels(state.opt_state.mask)
        count = math.floor(sparsity * KERNELS)
        assert np.sum(masked) == count
        for tree in (state.params, state.ema):
            np.testing.assert_array_equal(kernels(tree) == 0, masked)
        assert (point["weights"], point["zeros"]) == (KERNELS, count)
        assert np.all(others(state.opt_state.mask))
        assert np.all(others(state.params)[others(trained.params) != 0] != 0)
        changed = kernels(state.params) != before
        assert np.mean(changed[~masked]) > 0.99
        if method == "one_shot":
            assert set(np.flatnonzero(masked)) == set(order[:count])
        if method == "random" or (method, sparsity) == ("gradual", 0.9):
            assert set(np.flatnonzero(masked)) != set(order[:count])


def test_momentum_of_masked_weights_is_zero(finished, template):
    state = checkpoint(finished, template, "gradual", 0.9)
    masks = dict(jax.tree_util.tree_leaves_with_path(state.opt_state.mask))
    found = 0
    for path, x in jax.tree_util.tree_leaves_with_path(state.opt_state.inner):
        for end in (path[i:] for i in range(len(path))):
            if end in masks and x.ndim > 1:
                assert np.all(x[~masks[end]] == 0) and np.any(x != 0)
                found += 1
    assert found > 8


def test_before_fine_tuning(points, trained, finished):
    """Gradual pruning starts from the trained network; the others do not."""
    own = read_records(finished / "trained")[-1]
    dense = {k: v for k, v in own.items() if k.startswith("test/") and k.endswith("32")}
    assert len(dense) == 4
    for (method, sparsity), point in points.items():
        same = all(point["before"][name] == value for name, value in dense.items())
        assert same == (method == "gradual" or sparsity == 0)
        assert point["before"]["test/between_population_hdr"] == pytest.approx(
            abs(trained.entropy - point["before"]["test/entropy_features"])
            / max(trained.entropy, point["before"]["test/entropy_features"])
        )
    assert points["one_shot", 0.9]["after"]["test/accuracy"] > (
        points["one_shot", 0.9]["before"]["test/accuracy"] + 0.1
    )


def test_unpruned_features_have_their_self_information_and_no_difference(points, trained):
    before = points["one_shot", 0.0]["before"]
    features = np.concatenate([np.asarray(x) for x in trained.features], 1)
    features = features.reshape(-1, features.shape[-1])[:360]
    for n in (32, 64):
        batches = [features[i : i + n] for i in range(0, 360 - n + 1, n)]
        shared = np.mean([reference.interplay(z, z) for z in batches], 0)
        assert before[f"test/between_mir_{n}"] == pytest.approx(shared[4], rel=1e-5)
        assert before[f"test/between_hdr_{n}"] == 0
    assert before["test/between_population_hdr"] == 0
    after = points["one_shot", 0.0]["after"]
    assert after["test/between_hdr_32"] > 0


def test_comparison_against_numpy():
    """On two devices, with padding; the batch that is not full does not count."""
    rng = np.random.default_rng(0)
    z, v = (rng.normal(size=(44, d)).astype(np.float32) for d in (5, 3))
    labels = np.where(np.arange(48) < 44, 1, -1).astype(np.int32)
    pad = lambda x: np.pad(x, ((0, 4), (0, 0))).reshape(2, 3, 8, -1)  # noqa: E731
    chunks = [[training.put_shards(pad(x)[:, i]) for i in range(3)] for x in (z, v)]
    compare = fine_tuning.make_compare((4, 8))
    found = training.single(compare(*chunks, training.put_shards(labels.reshape(2, 24))))
    for n, count in ((4, 11), (8, 5)):
        parts = [slice(n * i, n * i + n) for i in range(count)]
        shared = np.mean([reference.interplay(z[p], v[p]) for p in parts], 0)
        np.testing.assert_allclose(found[f"between_mir_{n}"], shared[4], rtol=1e-5)
        np.testing.assert_allclose(found[f"between_hdr_{n}"], shared[5], rtol=1e-4)


def test_gradual_pruning_does_not_depend_on_dispatches(study, trained, template):
    """Masks are renewed at the same steps however the steps are cut."""
    states = []
    for counts in ((6,), (1, 2, 3), (3, 3)):
        state = training.replicate(template)
        for count in counts:
            state = fine_tuning.advance_gradually(study, trained, 0.9, state, count)
        states.append(training.single(state))
    for other in states[1:]:
        jax.tree.map(np.testing.assert_array_equal, states[0], other)
    assert np.sum(kernels(states[0].params) == 0) == math.floor(0.9 * KERNELS)
    middle = fine_tuning.advance_gradually(study, trained, 0.9, training.replicate(template), 3)
    sparsity = 0.9 * (1 - 0.5**3)  # after two of four steps
    zeros = np.sum(kernels(training.single(middle).params) == 0)
    assert zeros == math.floor(sparsity * KERNELS)


def test_a_checkpoint_with_a_weight_too_many_is_reported(study, trained, template, tmp_path):
    from infojax.training.checkpoint import Checkpoints

    state = fine_tuning.with_sparsity(study, template, 0.5)
    kernel = state.params["stem"]["kernel"]
    spoilt = state.params | {"stem": {"kernel": jnp.ones_like(kernel)}}
    for step, params in enumerate((state.params, spoilt)):
        checkpoints = Checkpoints(tmp_path / "checkpoints")
        checkpoints.save(step, state.replace(params=params))
        checkpoints.close()
        if step == 0:
            counted = fine_tuning.check_zeros(study, tmp_path, template, 0.5)
            assert counted == {"weights": KERNELS, "zeros": math.floor(0.5 * KERNELS)}
            with pytest.raises(RuntimeError, match=r"sparsity 0\.6 of \d+ weights"):
                fine_tuning.check_zeros(study, tmp_path, template, 0.6)
    with pytest.raises(RuntimeError, match=r"\d+ masked ones, [1-9]\d* of them not zero"):
        fine_tuning.check_zeros(study, tmp_path, template, 0.5)


def test_head_is_pruned_if_so_configured():
    for prune_head in (True, False):
        study = fine_tuning.Study(smoke(prune_head=prune_head), *[None] * 6)
        assert study.prunable("head/kernel", np.ones((2, 2))) == prune_head
        assert study.prunable("stem/kernel", np.ones((2, 2)))
        assert not study.prunable("head/bias", np.ones(2))
        assert not study.prunable("norm/scale", np.ones(2))


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 8])
def test_masked_weights_are_zero_on_some_devices(devices, finished, template, tmp_path):
    """From the command line; the trained network is one that is given."""
    settings = {"sparsities": (0.9,), "methods": ("one_shot", "gradual")} | SETTINGS
    settings |= {"trained": finished / "trained", "metric_batch_sizes": (32,)}
    arguments = [f"--config.{name}={value}" for name, value in settings.items()]
    arguments += ["--config=configs/pruning.py:smoke", f"--workdir={tmp_path}"]
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", f"device_count={devices}")
    process = subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": flags, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    assert f"pruning on {devices} cpu device" in process.stdout
    count = math.floor(0.9 * KERNELS)
    for method in ("one_shot", "gradual"):
        state = checkpoint(tmp_path, template, method, 0.9)
        for tree in (state.params, state.ema):
            assert np.sum(kernels(tree) == 0) == count
            assert np.all(kernels(tree)[~kernels(state.opt_state.mask)] == 0)
        assert np.all(others(state.params)[others(state.ema) != 0] != 0)
    lines = read_lines(tmp_path / "points.jsonl")
    assert [p["zeros"] for p in lines] == [count, count]
    assert not (tmp_path / "trained").exists()


# Resumed runs and given networks


def test_stopped_run_goes_on_without_training_again(finished, tmp_path, monkeypatch):
    """Killed in the middle of a line, after its fine-tuning was saved."""
    shutil.copytree(finished, tmp_path / "run")
    lines = (finished / "points.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "points.jsonl").write_text("".join(lines[:-1]) + lines[-1][:100])

    def refuse(*_):
        raise AssertionError("this trains")

    monkeypatch.setattr(training, "make_train_step", lambda *_: refuse)
    pruning.run(smoke(), tmp_path / "run")
    for name in ("points.jsonl", "summary.json"):
        assert (tmp_path / "run" / name).read_text() == (finished / name).read_text()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"trained": "missing"}, "missing is not a run: it has no config.json"),
        ({"num_seeds": 2}, "holds no checkpoints of seed 1"),
        ({"depth": 16, "width": 2}, "(depth: 10 there, 16 here, width: 1 there, 2 here); set "),
    ],
)
def test_networks_that_cannot_be_taken(finished, study, tmp_path, changes, message):
    given = changes.pop("trained", str(finished / "trained"))
    changed = study._replace(config=smoke(**changes))
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        pruning.load(changed, Path(given), changes.get("num_seeds", 1) - 1)
    assert len(str(caught.value).splitlines()) == 1


def test_run_that_is_not_trained_to_its_end(finished, study, tmp_path):
    directory = tmp_path / "trained"
    shutil.copytree(finished / "trained", directory)
    config = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(config | {"num_steps": 41}))
    with pytest.raises(UserError, match="is not trained to its end yet"):
        pruning.load(study, directory, 0)
    (directory / "config.json").write_text(json.dumps(config | {"experiment": "grokking"}))
    with pytest.raises(UserError, match="is not a run of the experiment supervised"):
        pruning.load(study, directory, 0)


# The summary


def test_summary_of_the_run(finished, points):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["weights"] == KERNELS
    for (method, sparsity), point in points.items():
        for stage in ("before", "after"):
            found = summary["results"][method][str(sparsity)][stage]
            for name in ("accuracy", "between_mir_64", "between_hdr_32", "mir_32"):
                assert found[f"test/{name}"]["by_seed"] == [point[stage][f"test/{name}"]]


# Figures and settings


def test_figures_show_the_points(finished, points):
    drawn = plots.pruning.figures([plots.load_run(finished)])
    assert set(drawn) == {"pruning", "pruning_details"}
    axis = drawn["pruning"].axes[1]
    lines = {line.get_label(): line for line in axis.lines}
    for label, method, stage in (
        ("by magnitude", "one_shot", "after"),
        ("by magnitude, gradually", "gradual", "after"),
        ("at random, not tuned", "random", "before"),
    ):
        own = [points["one_shot", 0.0], *(points[method, s] for s in SPARSITIES[1:])]
        expected = [p[stage]["test/between_mir_32"] for p in own]
        np.testing.assert_allclose(lines[label].get_ydata(), expected)
        np.testing.assert_allclose(lines[label].get_xdata(), SPARSITIES)
    plt.close("all")
    for name in drawn:
        assert (finished / "figures" / f"{name}.png").stat().st_size > 20_000


def test_figures_are_of_one_run(finished, tmp_path):
    with pytest.raises(UserError, match="one at a time"):
        plots.draw([finished, finished], tmp_path)
    (tmp_path / "config.json").write_text((finished / "config.json").read_text())
    with pytest.raises(UserError, match=r"holds no finished point yet: none in points\.jsonl"):
        plots.draw([tmp_path], tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sparsities": (0.5, 1.0)}, "sparsities must lie in [0, 1), got 1.0"),
        ({"sparsities": (-0.1,)}, "sparsities must lie in [0, 1), got -0.1"),
        ({"sparsities": (float("nan"),)}, "sparsities must lie in [0, 1), got nan"),
        ({"sparsities": ()}, "sparsities must hold at least one sparsity"),
        ({"sparsities": (0.5, 0.5)}, "each of them once"),
        ({"methods": ("best",)}, "methods = ('best',) must hold some of one_shot, gradual"),
        ({"gradual_steps": 8}, "gradual_steps = 8 must be a multiple of mask_every = 2 and at"),
        ({"gradual_steps": 3}, "gradual_steps = 3 must be a multiple of mask_every = 2 and at"),
        ({"gradual_steps": 0}, "gradual_steps must be at least 2, got 0"),
        ({"finetune_steps": 0}, "finetune_steps must be at least 1, got 0"),
        ({"finetune_learning_rate": -1.0}, "finetune_learning_rate must be at least 0"),
        ({"momentum": 1.5}, "momentum must lie in [0, 1), got 1.5"),
    ],
)
def test_bad_config(tmp_path, changes, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        pruning.run(smoke(**changes), tmp_path)
    assert len(str(caught.value).splitlines()) == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("variant", ["cpu", "paper", "smoke"])
def test_variants(variant):
    config = configs.get_config(variant)
    pruning.check(config)
    assert config.prune_head == (variant == "paper")


def test_unknown_variant():
    with pytest.raises(ValueError, match="unknown variant 'big'; use cpu, paper or smoke"):
        configs.get_config("big")
