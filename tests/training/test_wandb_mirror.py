"""Records in W&B, offline, with the package itself."""

import contextlib
import json
import sys
from types import SimpleNamespace

import pytest

from infojax.errors import UserError
from infojax.training import recorder, wandb_mirror
from infojax.training.recorder import Recorder, read_records

wandb = pytest.importorskip("wandb")
offline_wandb = pytest.importorskip("tests.training.offline_wandb")


@pytest.fixture
def workdir(tmp_path, monkeypatch):
    """The directory of a run."""
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "cifar" / "seed-3").mkdir(parents=True)
    (tmp_path / "cifar" / "config.json").write_text('{"depth": 10, "sizes": [32, 64]}')
    return tmp_path / "cifar"


def _write(workdir, start, *steps, directory=".", project="infojax"):
    """Resumes the records of a directory at a step, and writes those of later steps."""
    with contextlib.ExitStack() as stack:
        if project:
            stack.enter_context(recorder.mirrored(wandb_mirror.opener(project, workdir)))
        writer = stack.enter_context(contextlib.closing(Recorder(workdir / directory)))
        writer.resume(start)
        for step in steps:
            writer.write(step, {"test/mir_64": step / 7, "train/loss": 2.0**-step})


def _logged(*runs):
    """What W&B holds of some runs, as lines of metrics.jsonl."""
    return [
        {"step": json.loads(line["_step"])}
        | {name: json.loads(x) for name, x in line.items() if not name.startswith("_")}
        for run in runs
        for line in run["history"]
    ]


def test_a_run_for_each_directory(workdir):
    _write(workdir, -1, 0, 10)
    _write(workdir, -1, 0, 20, directory="seed-3")
    own, seed = sorted(offline_wandb.runs(workdir), key=lambda run: run["name"])
    assert (own["name"], seed["name"]) == ("cifar", "cifar/seed-3")
    assert own["id"] != seed["id"]
    for run, directory in ((own, workdir), (seed, workdir / "seed-3")):
        assert (run["group"], run["project"]) == ("cifar", "infojax")
        assert json.loads(run["config"]["depth"]) == 10
        assert json.loads(run["config"]["sizes"]) == [32, 64]
        assert _logged(run) == read_records(directory) != []


def test_a_resumed_run_logs_each_step_once(workdir):
    """Records dropped by the resumption are made again, but W&B holds them already."""
    _write(workdir, -1, 0, 10, 20, 30)
    _write(workdir, 10, 20, 30, 40, 50)
    first, second = offline_wandb.runs(workdir)
    assert first["id"] == second["id"]
    assert [line["step"] for line in _logged(first)] == [0, 10, 20, 30]
    assert [line["step"] for line in _logged(second)] == [40, 50]
    for logged, record in zip(_logged(first, second), read_records(workdir), strict=True):
        assert logged | {"seconds": 0} == record | {"seconds": 0}


def test_a_run_that_starts_over_is_a_new_one(workdir):
    _write(workdir, -1, 0, 10)
    _write(workdir, -1, 0, 10)
    first, second = offline_wandb.runs(workdir)
    assert first["id"] != second["id"]
    assert [line["step"] for line in _logged(second)] == [0, 10]


def test_records_without_wandb_are_logged_later(workdir):
    _write(workdir, -1, 0, 10, project=None)
    assert offline_wandb.runs(workdir) == []
    _write(workdir, 10, 20)
    (run,) = offline_wandb.runs(workdir)
    assert _logged(run) == read_records(workdir)
    _write(workdir, 20, project="another")  # a finished run into another project
    assert _logged(offline_wandb.runs(workdir)[-1]) == read_records(workdir)


@pytest.mark.parametrize("method", ["init", "Run.log"])
def test_failures_do_not_stop_training(workdir, monkeypatch, capsys, method):
    def fail(*_, **__):
        raise OSError("no route to\nhost")

    with monkeypatch.context() as patch:
        patch.setattr(f"wandb.{method}", fail)
        _write(workdir, -1, 0, 10)
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "W&B stopped (no route to host); training continues" in error
    assert [r["step"] for r in read_records(workdir)] == [0, 10]
    _write(workdir, 10, 20)
    runs = offline_wandb.runs(workdir)
    assert _logged(runs[-1]) == read_records(workdir)
    assert len({run["id"] for run in runs}) == 1


def test_the_package_is_missing(workdir, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        wandb_mirror.check("infojax")


def test_nobody_is_logged_in(monkeypatch):
    def login():
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.\nMore.")

    online = SimpleNamespace(settings=SimpleNamespace(mode="online"))
    monkeypatch.setattr("wandb.setup", lambda: online)
    monkeypatch.setattr("wandb.login", login)
    with pytest.raises(UserError) as caught:
        wandb_mirror.check("infojax")
    assert str(caught.value).startswith("W&B cannot be used (No API key configured. Use `wandb lo")
    assert "set WANDB_MODE=offline" in str(caught.value) and "More" not in str(caught.value)
