"""Work directories: of another config, in use, damaged, on a full disk."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from configs import cifar10, grokking
from infojax.errors import UserError
from infojax.training import storage
from launch import config_files, workdir
from tests.launch.launcher import ROOT, SMOKE, assert_refused


def _files(directory):
    everything = (p for p in directory.rglob("*") if p.is_file() and p.name != ".lock")
    return {p: p.read_bytes() for p in everything}


def _record(directory):
    """The first record of a run."""
    directory.mkdir(exist_ok=True)
    (directory / "metrics.jsonl").write_text('{"step": 0, "seconds": 0.1}\n')


def test_a_refused_override_leaves_the_config(main, tmp_path):
    """64 and 64.0 are equal, but not the same setting."""
    run, config = tmp_path / "run", grokking.get_config("smoke")
    workdir.prepare(run, config)
    _record(run)
    before = (run / "config.json").read_bytes()
    assert_refused(main(SMOKE, "--config.metric_batch_sizes=(16.0, 64.0)"), "metric_batch_sizes")
    assert (run / "config.json").read_bytes() == before


@pytest.mark.parametrize("what", ["record", "checkpoint", "record of a seed"])
def test_work_directory_of_another_config(main, tmp_path, what):
    run, config = tmp_path / "run", grokking.get_config("smoke")
    config.seed = 0
    workdir.prepare(run, config)
    if what == "checkpoint":
        (run / "checkpoints" / "20").mkdir(parents=True)
    else:
        path = run / "seed-0" if "seed" in what else run
        _record(path)
    before = _files(run)
    refused = main(SMOKE, "--config.seed=1", "--config.loss=ordinary")
    assert_refused(refused, str(run), "seed: 0 there, 1 here", "margin there", "--workdir")
    assert "modulus" not in refused[1][0]
    assert _files(run) == before


_NEWER_IMAGES = {"model", "stream", "image_size", "wide_resnet_form", "chance_permutations"}
_NEWER_GROKKING = {  # settings that grokking had not in versions before them
    *("init_scale", "precision", "stop_after", "early_epoch", "mi_weight", "id_weight"),
    *("information_batch_size", "information_until", "gradient_filter", "grokfast_alpha"),
    *("grokfast_window", "grokfast_weight", "chance_permutations", "progress_measures"),
}


@pytest.mark.parametrize(
    ("config", "newer"),
    [
        (cifar10.get_config("smoke"), _NEWER_IMAGES),
        (grokking.get_config("smoke"), _NEWER_GROKKING),
    ],
    ids=["supervised", "grokking"],
)
def test_a_run_of_an_older_version_continues(tmp_path, config, newer):
    """By its own config.json: settings that it had no choice in have the value of then."""
    old = {name: value for name, value in config.to_dict().items() if name not in newer}
    workdir.prepare(tmp_path, ConfigDict(old))
    _record(tmp_path)
    workdir.prepare(tmp_path, config_files.load(tmp_path / "config.json", ""))
    assert set(json.loads((tmp_path / "config.json").read_text())) >= newer


@pytest.mark.parametrize(
    ("experiment", "message"),
    [
        ("grokking", r"dataset: mnist there.*modulus: None there, 13 here"),
        ("supervised", r"config \(experiment: supervised there, grokking here\); use"),
    ],
)
def test_work_directory_of_another_experiment(tmp_path, experiment, message):
    """Fields that only one of them has are named too, unless the experiment itself differs."""
    workdir.prepare(tmp_path, ConfigDict({"experiment": experiment, "dataset": "mnist"}))
    _record(tmp_path)
    with pytest.raises(UserError, match=message):
        workdir.prepare(tmp_path, grokking.get_config("smoke"))


def test_same_config_in_the_same_work_directory(tmp_path):
    config = grokking.get_config("smoke")
    for _ in range(2):
        workdir.prepare(tmp_path, config)
        _record(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["metric_batch_sizes"] == [16, 64]
    assert len(workdir.starts(tmp_path)) == 2
    assert {p.name for p in tmp_path.iterdir()} == {
        "config.json",
        "environment.json",
        "metrics.jsonl",
    }


def test_changed_files_are_recorded(tmp_path, monkeypatch):
    """Tracked files that differ from the commit; nothing without a clone, or without git."""
    monkeypatch.setattr(workdir, "__file__", str(tmp_path / "launch.py"))
    assert (workdir.git_commit(), workdir.changed_files()) == (None, None)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    (tmp_path / "a.py").write_text("1")
    for command in (["init", "-q"], ["add", "a.py"], [*identity, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / "notes.txt").write_text("not tracked")
    assert len(workdir.git_commit()) == 40 and workdir.changed_files() == []
    (tmp_path / "a.py").write_text("2")
    assert workdir.git_commit().endswith("-dirty") and workdir.changed_files() == ["a.py"]
    workdir.prepare(tmp_path / "run", grokking.get_config("smoke"))
    assert workdir.starts(tmp_path / "run")[0]["changed_files"] == ["a.py"]
    monkeypatch.setenv("PATH", "")
    assert (workdir.git_commit(), workdir.changed_files()) == (None, None)


@pytest.mark.parametrize("content", ["", "[{", "5", None])
def test_unreadable_history_of_starts_is_replaced(tmp_path, content):
    if content is not None:
        (tmp_path / "environment.json").write_text(content)
    workdir.prepare(tmp_path, grokking.get_config("smoke"))
    assert len(workdir.starts(tmp_path)) == 1


@pytest.mark.parametrize("below", ["run", "not/there/yet"])
def test_refused_settings_leave_nothing_behind(main, tmp_path, below):
    """Settings that the experiment refuses after the directory was prepared."""
    refused = [SMOKE, "--config.metric_batch_sizes=(1,)", f"--workdir={tmp_path / below}"]
    code = main(*refused, default_workdir=False, checked_stdout=False)
    assert_refused(code, "metric_batch_sizes")
    assert not list(tmp_path.iterdir())


def test_refused_settings_leave_a_directory_as_it_was(main, tmp_path):
    (tmp_path / "run" / "empty").mkdir(parents=True)
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert_refused(main(SMOKE, "--config.metric_batch_sizes=(1,)"), "metric_batch_sizes")
    assert {p.name for p in (tmp_path / "run").iterdir()} == {"notes.txt", "empty"}
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_work_directory_in_use(main, tmp_path):
    """A second start is refused and changes nothing until the first process has ended."""
    run = tmp_path / "run"
    script = "import pathlib, sys; from launch import workdir\n"
    script += "with workdir.locked(pathlib.Path(sys.argv[1])): print(); input()"
    pipe = subprocess.PIPE
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(run)], cwd=ROOT, stdin=pipe, stdout=pipe
    )
    first.stdout.readline()
    before = _files(run)
    refused = main(SMOKE)
    assert_refused(refused, f"{run} is in use by process {first.pid} on ", "--workdir")
    assert _files(run) == before
    first.kill()
    first.communicate()
    with workdir.locked(run):
        pass


@pytest.mark.parametrize("content", ["", "{", "[]", None])
def test_unreadable_config_of_a_run(main, tmp_path, content):
    _record(tmp_path / "run")
    if content is not None:
        (tmp_path / "run" / "config.json").write_text(content)
    assert_refused(main(SMOKE), "config.json", "cannot be read", "--workdir")
    assert (tmp_path / "run" / "metrics.jsonl").exists()


@pytest.mark.parametrize("below", ["", "/run", "/deep/run"])
def test_unwritable_work_directory(main, tmp_path, below):
    file = tmp_path / "file"
    file.write_text("not a directory")
    path = f"{file}{below}"
    assert_refused(main(SMOKE, f"--workdir={path}", default_workdir=False), "cannot write", path)
    assert file.read_text() == "not a directory"


FULL = "/dev/full"  # every write to it fails as on a full disk


@pytest.mark.skipif(not Path(FULL).exists(), reason="no device that behaves as a full disk")
def test_full_disk(main, tmp_path, monkeypatch):
    """At the start the command is refused; a run that has begun ends with a hint to resume."""
    run = tmp_path / "run"
    run.mkdir()
    for name in ("environment", "summary"):
        (run / f"{name}.partial").symlink_to(FULL)
    reason = "No space left on device"
    assert_refused(main(SMOKE), f"cannot write {run / 'environment.json'}: {reason}")
    (run / "environment.partial").unlink()

    def write(config, workdir):
        storage.write_json(workdir / "summary.json", {"steps": 1})

    monkeypatch.setattr("launch.experiments.grokking.run", write)
    line = f"launch: cannot write {run / 'summary.json'}: {reason}; "
    assert main(SMOKE) == (1, [line + "the same command resumes when that is fixed"])
    assert not (run / "summary.json").exists()
    (run / "summary.partial").unlink()
    assert main(SMOKE, checked_stdout=False) == (0, [])
    assert json.loads((run / "summary.json").read_text()) == {"steps": 1}
