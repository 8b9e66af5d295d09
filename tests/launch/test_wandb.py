"""`--wandb` copies the records of a run, a W&B run per seed; offline, with the package itself."""

import contextlib
import json
import sys

import pytest

from infojax import training
from launch import seeds
from tests.launch.launcher import SMOKE, assert_refused

wandb = pytest.importorskip("wandb")
offline_wandb = pytest.importorskip("tests.training.offline_wandb")


def test_a_run_of_two_seeds(main, tmp_path, monkeypatch):
    def run(config, workdir):
        for directory in seeds.directories(workdir, config).values():
            directory.mkdir()
            with contextlib.closing(training.Recorder(directory)) as recorder:
                recorder.resume(-1)
                for step in (0, 10):
                    recorder.write(step, {"test/accuracy": step / 7})

    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("launch.experiments.grokking.run", run)
    result = main(SMOKE, "--config.num_seeds=2", "--wandb=mine", checked_stdout=False)
    assert result == (0, [])
    runs = offline_wandb.runs(tmp_path / "run")
    assert [run["name"] for run in runs] == ["run/seed-0", "run/seed-1"]
    for run in runs:
        accuracies = [(line["_step"], line["test/accuracy"]) for line in run["history"]]
        assert accuracies == [("0", "0"), ("10", str(10 / 7))]
        assert (run["project"], run["group"]) == ("mine", "run")
        assert json.loads(run["config"]["modulus"]) == 13
    assert wandb.run is None  # nothing is left open


def test_refused_before_training(main, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert_refused(main(SMOKE, "--wandb=mine"), "--wandb needs the package wandb", "pip install")
    assert not (tmp_path / "run").exists()
