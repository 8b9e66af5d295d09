"""`python -m launch.evaluate`: a finished run measured again, on its own data and on others."""

import json
import shutil

import numpy as np
import pytest
from ml_collections import ConfigDict

from infojax.data import images
from infojax.errors import UserError
from infojax.training import read_records
from launch import evaluate
from tests.launch import saved_runs
from tests.launch.launcher import run_here

LAYERS = ("stem", "group0_block0/conv1", "features")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    settings = {"num_seeds": 2, "num_steps": 4}
    return run_here(tmp_path_factory.mktemp("run") / "run", "configs/cifar10.py:smoke", settings)


def _evaluate(workdir, *arguments):
    assert evaluate.main([str(workdir), *arguments]) == 0
    return json.loads((workdir / "evaluation.json").read_text())


@pytest.fixture(scope="module")
def evaluated(run, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(run, workdir)
    return workdir, _evaluate(workdir, "--splits=test,train", f"--layers={','.join(LAYERS[:2])}")


def test_numbers_are_those_of_the_last_record(evaluated):
    workdir, found = evaluated
    assert list(found) == ["digits/test", "digits/train"]
    for seed in (0, 1):
        record = read_records(workdir / f"seed-{seed}")[-1]
        recorded = {n: x for n, x in record.items() if n.startswith(("test/", "train/"))}
        assert len(recorded) > 30
        measured = {
            f"{split}/{name}": value["by_seed"][seed]
            for split in ("test", "train")
            for name, value in found[f"digits/{split}"]["metrics"].items()
        }
        assert {name: measured[name] for name in recorded} == recorded


def test_what_is_written(evaluated):
    workdir, found = evaluated
    test = found["digits/test"]
    assert (test["split"], test["images"], test["steps"]) == ("test", 360, [4, 4])
    assert test["model"] == "WideResNet-10-1"
    accuracy = test["metrics"]["accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(accuracy["by_seed"]))
    assert accuracy["std"] == pytest.approx(np.std(accuracy["by_seed"], ddof=1))
    p = accuracy["by_seed"][0]
    error = test["metrics"]["accuracy_error"]["by_seed"][0]
    assert error == pytest.approx((p * (1 - p) / 360) ** 0.5)
    assert (workdir / "figures" / "evaluation_digits.png").stat().st_size > 10_000


def test_layers(evaluated):
    _, found = evaluated
    layers = found["digits/test"]["layers"]
    assert tuple(layers) == LAYERS
    assert len({layers[name]["mir_32"]["mean"] for name in LAYERS}) == 3
    for name, value in layers["features"].items():
        if name != "entropy":
            at_head = found["digits/test"]["metrics"][name]
            assert value["by_seed"] == pytest.approx(at_head["by_seed"], rel=1e-5, abs=1e-6)


def test_another_data_set_beside_earlier_evaluations(run, tmp_path, capsys):
    """The images of the run's own test split from a file, at another order and batch size."""
    workdir = shutil.copytree(run, tmp_path / "run")
    (workdir / "evaluation.json").write_text('{"digits/test": 1}')
    (train, test, *_), path = images.load("digits"), tmp_path / "own.npz"
    arrays = {"images": test.images, "labels": test.labels}
    np.savez(path, **arrays, test_images=train.images[:64], test_labels=train.labels[:64])
    arguments = (f"--dataset={path}", "--splits=train", "--alpha=2", "--sizes=20", "--layers=")
    found = _evaluate(workdir, *arguments)
    assert list(found) == ["digits/test", f"{path}/train, alpha = 2"]
    assert found["digits/test"] == 1
    other = found[f"{path}/train, alpha = 2"]
    for seed in (0, 1):
        record = read_records(workdir / f"seed-{seed}")[-1]
        assert other["metrics"]["accuracy"]["by_seed"][seed] == record["test/accuracy"]
        population = other["metrics"]["population_mir"]["by_seed"][seed]
        assert population != pytest.approx(record["test/population_mir"], rel=1e-3)
    assert "mir_20" in other["metrics"] and list(other["layers"]) == ["features"]
    line, done = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{path}/train, alpha = 2: accuracy ")
    assert done.startswith(f"done: {workdir / 'evaluation.json'} and ")


def _refused(capsys, *arguments):
    assert evaluate.main([str(argument) for argument in arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("launch.evaluate: ")


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--layers=stem,blok", "there is no layer 'blok'; use stem, group0_block0, "),
        ("--splits=validation", "there is no split 'validation'; use train, test"),
        ("--sizes=512", "sizes holds 512, more than the 360 images of test"),
        ("--sizes=1", "sizes must be at least 2 and have a common multiple of at most 8192, got 1"),
        ("--sizes=64,x", "sizes = '64,x' must be integers, such as 64,256"),
        ("--alpha=-1", "alpha must be positive, got -1"),
        ("--dataset=./nowhere", "nowhere"),
    ],
)
def test_refused_arguments(run, capsys, argument, message):
    assert message in _refused(capsys, run, argument)
    assert not (run / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        (
            (8, 8, 3),
            10,
            "are 8 x 8 x 3 (height x width x channels), but the network was trained on",
        ),
        ((8, 8, 1), 7, "has 7 classes, but the network was trained on 10"),
    ],
)
def test_data_that_do_not_fit(run, tmp_path, capsys, shape, classes, message):
    path = tmp_path / "own.npz"
    np.savez(
        path,
        images=np.zeros((classes * 9, *shape), np.uint8),
        labels=np.arange(classes * 9) % classes,
    )
    assert message in _refused(capsys, run, f"--dataset={path}")


def test_runs_that_cannot_be_evaluated(run, tmp_path, capsys):
    assert "is not a run: it has no config.json" in _refused(capsys, tmp_path)
    workdir, *_ = saved_runs.grokked(tmp_path / "grokking")
    message = f"{workdir} is a run of grokking; runs of image classification can be evaluated"
    assert _refused(capsys, workdir) == message


def test_nothing_is_trained_yet(run, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "seed-1" / "checkpoints")
    message = f"there is no checkpoint in {tmp_path / 'run' / 'seed-1' / 'checkpoints'}: "
    assert _refused(capsys, tmp_path / "run") == f"{message}nothing has been trained yet"


@pytest.mark.parametrize(
    ("sizes", "expected"), [((64,), 512), ((64, 256), 512), ((60,), 480), ((1000,), 1000)]
)
def test_forward_passes_hold_whole_batches(sizes, expected):
    assert evaluate.chunk_size(ConfigDict({"eval_batch_size": 512}), sizes) == expected


def test_sizes_without_a_common_multiple():
    with pytest.raises(UserError, match="common multiple of at most 8192, got 127, 128"):
        evaluate.chunk_size(ConfigDict({"eval_batch_size": 512}), (127, 128))
