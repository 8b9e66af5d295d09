"""User errors end with exit code 2 and one line that says what to do, without a traceback."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from configs import grokking, mode_connectivity
from infojax.errors import StorageError, UserError
from infojax.training import Interrupted
from launch import __main__ as launch, command_line, figures, help_text, workdir
from launch.settings import Settings
from tests.launch.launcher import ROOT, SMOKE, assert_refused, begun

CROSSMODAL = "--config=crossmodal:smoke"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([SMOKE, "--config.modulos=17"], ["'modulos'; did you mean --config.modulus?"]),
        ([SMOKE, "--config.modulos", "17"], ["'modulos'; did you mean --config.modulus?"]),
        ([SMOKE, "--config.nope=3"], ["the config has no field 'nope'; --help"]),
        ([SMOKE, "--config.seed.x=1"], ["the field seed = 0 has no fields"]),
        (
            ["--config=crossmodal:smoke", "--config.learning_rates.linear=1"],
            ["'learning_rates.linear'; did you mean --config.learning_rates.linear_probe?"],
        ),
        ([SMOKE, "--learning_rate=0.1"], ["--learning_rate; did you mean --config.learning_rate?"]),
        ([SMOKE, "--wrkdir=x"], ["unknown flag --wrkdir; did you mean --workdir?"]),
        ([SMOKE, "--num_proceses=2"], ["did you mean --num_processes or "]),
        ([SMOKE, "--config.modulus=many"], ["--config.modulus=many", "int"]),
        ([SMOKE, "--config.modulus=13.5"], ["--config.modulus=13.5", "int"]),
        ([SMOKE, "--config.learning_rate=fast"], ["--config.learning_rate=fast", "float"]),
        ([SMOKE, "--config.num_steps="], ["--config.num_steps"]),
        (["grokking"], ["unexpected argument 'grokking'; did you mean --config=grokking?"]),
        ([SMOKE, "anything"], ["unexpected argument 'anything'; see"]),
        ([SMOKE, "--xyz=3"], ["unknown flag --xyz; see python -m launch --help"]),
        ([SMOKE, "--workdir"], ["--workdir"]),
        ([SMOKE, "--wandb="], ["--wandb is empty"]),
        (
            ["--config=configs/grokking.py:tiny"],
            ["'tiny'", "cpu, paper, seeds, seeds-smoke or smoke"],
        ),
        (
            ["--config=grokking:smok"],
            ["'smok'; did you mean smoke? The variants are cpu, paper, seeds"],
        ),
        ([SMOKE, "--config.experiment=alchemy"], ["experiment = 'alchemy' is unknown"]),
        ([SMOKE, "--config.experiment=figures"], ["experiment = 'figures' is unknown"]),
        ([SMOKE, "--config.experiment="], ["experiment = '' is unknown"]),
        ([SMOKE, "--workdir="], ["--workdir is empty"]),
        ([SMOKE, "--workdir=gs://bucket/run"], ["a directory of this machine"]),
        ([SMOKE, "--workdir=run[v2]"], ["run[v2]", "must not hold"]),
    ],
)
def test_arguments(main, arguments, words):
    default_workdir = not any(x.startswith("--workdir") for x in arguments)
    assert_refused(main(*arguments, default_workdir=default_workdir), *words)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("train_fraction=0", ["train_fraction", "between 0 and 1"]),
        ("train_fraction=1", ["train_fraction", "between 0 and 1"]),
        ("train_fraction=-0.3", ["train_fraction", "-0.3"]),
        ("train_fraction=1.5", ["train_fraction", "1.5"]),
        ("train_fraction=nan", ["train_fraction", "nan"]),
        ("train_fraction=0.001", ["train_fraction", "without examples"]),
        ("modulus=12", ["modulus", "prime", "12"]),
        ("modulus=2", ["modulus", "from 5 to 4093"]),
        ("modulus=100000007", ["modulus", "from 5 to 4093"]),
        ("learning_rate=nan", ["learning_rate", "nan"]),
        ("learning_rate=-1.0", ["learning_rate", "-1.0"]),
        ("weight_decay=inf", ["weight_decay", "inf"]),
        ("beta1=1.5", ["beta1 must lie in [0, 1)", "1.5"]),
        ("beta2=1.0", ["beta2 must lie in [0, 1)"]),
        ("modulus=-13", ["modulus", "-13"]),
        ("loss=hinge", ["loss = 'hinge'", "margin or ordinary"]),
        ("operation=a**b", ["operation 'a**b'", "a+b", "random"]),
        ("metric_batch_sizes=(16, 5000)", ["5000", "119 test examples"]),
        ("metric_batch_sizes=(1, 16)", ["metric_batch_sizes", "at least 2"]),
        ("metric_batch_sizes=(0,)", ["metric_batch_sizes", "at least 2"]),
        ("metric_batch_sizes=()", ["metric_batch_sizes"]),
        ("metric_batch_sizes=(16.5, 20)", ["metric_batch_sizes"]),
        ("metric_batch_sizes=('a',)", ["metric_batch_sizes"]),
        ("population_splits=('dev',)", ["population_splits", "'train' and 'test'"]),
        ("num_steps=0", ["num_steps", "at least 1"]),
        ("num_seeds=0", ["num_seeds", "at least 1"]),
        ("eval_every=-5", ["eval_every", "-5"]),
        ("checkpoint_every=0", ["checkpoint_every"]),
        ("steps_per_call=0", ["steps_per_call"]),
        ("num_heads=3", ["d_model = 16", "num_heads = 3"]),
        ("num_heads=0", ["num_heads"]),
        ("seed=-1", ["seed", "-1"]),
        ("seed=99999999999999999999", ["seed", "99999999999999999999"]),
    ],
)
def test_settings(main, tmp_path, override, words):
    """Refused before any work; the corrected command can use the same directory."""
    assert_refused(main(SMOKE, f"--config.{override}"), *words)
    assert not (tmp_path / "run" / "checkpoints").exists() or not any(
        (tmp_path / "run" / "checkpoints").iterdir()
    )
    workdir.prepare(tmp_path / "run", grokking.get_config("smoke"))


def test_experiment_of_other_fields(main):
    """--config.experiment can name one that the config was not written for."""
    code, lines = main(SMOKE, "--config.experiment=supervised", checked_stdout=False)
    assert code == 2 and len(lines) == 1
    assert "no field" in lines[0] and "which supervised needs" in lines[0]


@pytest.mark.parametrize(
    ("raised", "code", "line"),
    [
        (FloatingPointError("not finite at step 3"), 1, "launch: not finite at step 3"),
        (UserError("no such data"), 2, "launch: no such data"),
        (
            StorageError("cannot write x: No space left on device"),
            1,
            "launch: cannot write x: No space left on device; the same command resumes when that "
            "is fixed",
        ),
        (
            Interrupted(signal.SIGTERM, 7),
            143,
            "launch: stopped at step 7 by SIGTERM; the same command resumes from there",
        ),
    ],
)
def test_exit_codes(main, monkeypatch, raised, code, line):
    def run(config, workdir):
        raise raised

    monkeypatch.setattr("launch.experiments.grokking.run", run)
    assert main(SMOKE) == (code, [line])


@pytest.mark.parametrize(
    ("defect", "error"),
    [
        (lambda: 1 / 0, ZeroDivisionError),
        (lambda: Path("nowhere").read_text(), FileNotFoundError),
        (lambda: {}["field"], KeyError),
    ],
)
def test_a_defect_is_not_hidden(main, monkeypatch, defect, error):
    """An error that the user did not cause keeps its traceback."""
    monkeypatch.setattr("launch.experiments.grokking.run", lambda config, workdir: defect())
    with pytest.raises(error) as caught:
        main(SMOKE)
    assert type(caught.value) is error


def test_defaults(monkeypatch):
    """Without arguments: grokking's cpu variant into runs/grokking."""
    monkeypatch.chdir(ROOT)
    expected = grokking.get_config("cpu")
    for arguments in ([], ["--config=configs/grokking.py"], ["--config", "grokking"]):
        config, directory, project = command_line.parse(["launch", *arguments])
        assert isinstance(config, Settings)
        assert json.loads(config.to_json()) == json.loads(expected.to_json())
        assert (directory, project) == (Path("runs/grokking"), None)


def test_overrides(monkeypatch):
    """Before and after --config, with `=` or a space, of every type."""
    monkeypatch.chdir(ROOT)
    arguments = ["--config.seed=7", "--workdir", "x/y", "--config", "configs/grokking.py:smoke"]
    arguments += ["--config.metric_batch_sizes=(8, 9)", "--config.weight_decay=2"]
    arguments += ["--config.loss=ordinary", "--wandb=mine"]
    config, directory, project = command_line.parse(["launch", *arguments])
    assert (directory, project) == (Path("x/y"), "mine")
    assert (config.seed, config.modulus, config.weight_decay) == (7, 13, 2.0)
    assert config.metric_batch_sizes == (8, 9)
    assert config.loss == "ordinary"


def test_config_of_a_run(tmp_path, monkeypatch):
    """The same settings and types, which overrides still change; by default into runs/."""
    monkeypatch.chdir(ROOT)
    workdir.prepare(tmp_path, command_line.parse(["launch", CROSSMODAL]).config)
    arguments = ["launch", f"--config={tmp_path}/config.json"]
    config, directory, _ = command_line.parse(arguments)
    assert config == command_line.parse(["launch", CROSSMODAL]).config
    assert config.shots == (1, 2) and config.learning_rates.image_adapter == 1e-3
    assert directory == Path("runs/crossmodal")
    workdir.prepare(tmp_path, config)  # what the directory holds
    overrides = ["--config.shots=(4,)", "--config.learning_rates.image_adapter=1"]
    config = command_line.parse([*arguments, *overrides]).config
    assert config.shots == (4,) and config.learning_rates.image_adapter == 1.0


def test_a_config_of_a_run_has_no_variants(main, tmp_path):
    (tmp_path / "config.json").write_text('{"experiment": "grokking"}')
    refused = main(f"--config={tmp_path}/config.json:smoke")
    assert_refused(refused, "without variants; leave out :smoke")
    (tmp_path / "config.json").write_text("{")
    assert_refused(main(f"--config={tmp_path}/config.json"), "config.json is damaged")


def test_variants():
    """The paper's settings, on one or several seeds; smoke has the same fields."""
    cpu, paper, smoke = (grokking.get_config(v) for v in ("cpu", "paper", "smoke"))
    expected = {
        "experiment": "grokking",
        "modulus": 113,
        "operation": "a+b",
        "train_fraction": 0.3,
        "d_model": 128,
        "num_heads": 4,
        "d_mlp": 512,
        "learning_rate": 1e-3,
        "weight_decay": 1.0,
        "beta1": 0.9,
        "beta2": 0.98,
        "warmup_steps": 10,
        "loss": "margin",
        "metric_batch_sizes": (64, 256),
    }
    for name, value in expected.items():
        assert cpu[name] == paper[name] == value, name
    assert cpu.num_steps >= 10_000
    assert paper.num_seeds > cpu.num_seeds == smoke.num_seeds == 1
    assert smoke.keys() == cpu.keys()
    assert smoke.num_steps <= 100


def _printed(capsys, *arguments):
    """What a command prints that runs nothing."""
    with pytest.raises(SystemExit) as caught:
        launch.main(["launch", *arguments])
    assert caught.value.code == 0
    out, err = capsys.readouterr()
    assert err == "" and max(map(len, out.splitlines())) <= 100
    return out


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help(main, capsys, flag):
    out = _printed(capsys, flag)
    assert "python -m launch --config=CONFIG[:VARIANT]" in out
    assert all(f"--{name}" in out for name in help_text.FLAGS)
    assert "modulus" not in out


def test_help_on_a_config(main, capsys):
    """Values, with overrides, and comments, from the config's own file first."""
    out = _printed(capsys, "--config=mode_connectivity:smoke", "--config.seed=7", "--help")
    assert re.search(r"^  seed = 7 +of initial parameters, ", out, re.MULTILINE)
    assert re.search(r"^  num_seeds = 2 +pairs$", out, re.MULTILINE)
    assert re.search(r"^  batch_size = 32 +global$", out, re.MULTILINE)
    assert "seconds; digits." in out
    fields = re.findall(r"^  (\w+) = ", out, re.MULTILINE)
    assert fields == list(json.loads(mode_connectivity.get_config("smoke").to_json()))


def test_help_on_the_config_of_a_run(main, capsys, tmp_path):
    (tmp_path / "config.json").write_text('{"experiment": "grokking", "shots": [1, 2]}')
    assert "  shots = (1, 2)" in _printed(capsys, f"--config={tmp_path}/config.json", "--help")


def test_list(main, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    out = _printed(capsys, "--list")
    assert out == _printed(capsys, "--config=nowhere", "--list")
    assert re.search(r"^  cpu +3 minutes on two cores; .* no data$", out, re.MULTILINE)


def test_figures_errors(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    for name in ("empty", "missing"):
        assert figures.main([str(tmp_path / name)]) == 2
        assert capsys.readouterr().err == (
            f"launch.figures: {tmp_path / name} is not a run: it has no config.json\n"
        )
    (tmp_path / "empty" / "config.json").write_text('{"experiment": "other"}')
    assert figures.main([str(tmp_path / "empty")]) == 2
    unknown = "experiment = 'other' is unknown: there is no module launch.experiments.other"
    assert capsys.readouterr().err == f"launch.figures: {unknown}\n"
    with pytest.raises(SystemExit) as caught:
        figures.main([])
    assert caught.value.code == 2


def test_exit_code_and_streams_of_the_process(tmp_path):
    command = [sys.executable, "-m", "launch", SMOKE, f"--workdir={tmp_path}"]
    done = subprocess.run(
        [*command, "--config.modulus=12"], cwd=ROOT, env=os.environ, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, begun(tmp_path))
    assert done.stderr == (
        "launch: modulus must be a prime from 5 to 4093, for example 113; got 12\n"
    )
