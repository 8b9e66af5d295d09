"""Two real processes with one device each, against one process with two devices."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from infojax.errors import UserError
from infojax.training import read_records
from launch import distributed, workdir as workdirs
from launch.experiments import supervised
from tests.launch import distributed_problem
from tests.launch.launcher import ROOT, last_step, timeless

ONE_DEVICE = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=1")


def _flags(port, index):
    return [f"--coordinator=127.0.0.1:{port}", "--num_processes=2", f"--process_id={index}"]


def _free_port(lowest=0):
    """Any free port, or the first from the lowest on."""
    while True:
        with socket.socket() as listening:
            try:
                listening.bind(("127.0.0.1", lowest))
            except OSError:
                lowest += 1
            else:
                return listening.getsockname()[1]


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """Directories of what two processes trained: whole, stopped, and copied when stopped."""
    root, port = tmp_path_factory.mktemp("together"), _free_port()
    environment = os.environ | {"XLA_FLAGS": ONE_DEVICE, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", distributed_problem.__name__, str(root)]
    started = [
        subprocess.Popen(
            [*command, *_flags(port, i)], env=environment, stderr=subprocess.PIPE, text=True
        )
        for i in (0, 1)
    ]
    errors = [process.communicate(timeout=600)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors
    return root


@pytest.fixture(scope="module")
def alone(together):
    """What one process with two devices trained from the start, and resumed from the pair's run."""
    assert (jax.process_count(), jax.device_count()) == (1, 2)
    program = supervised.build(distributed_problem.config())
    distributed_problem.trained(program, together / "alone")
    distributed_problem.trained(program, together / "copied")
    return together


def _records(directory):
    return timeless(read_records(directory))


def _final(directory, index=0):
    with np.load(directory / f"final-{index}.npz") as file:
        return dict(file)


def _assert_same_bits(one, other):
    for name in one | other:
        np.testing.assert_array_equal(one[name], other[name], name)


def test_one_writer(together):
    records = read_records(together / "whole")
    assert [r["step"] for r in records] == [0, 4, 8, 12]
    assert len(list((together / "whole").glob("events.out.tfevents.*"))) == 1
    steps = [p.name for p in (together / "whole" / "checkpoints").iterdir()]
    assert sorted(steps) == ["12", "8"]


def test_processes_hold_the_same_state(together):
    _assert_same_bits(_final(together / "whole", 0), _final(together / "whole", 1))


def test_stopped_by_a_signal_to_one_process_and_resumed(together):
    assert [r["step"] for r in _records(together / "stopped")] == [0, 4, 8, 12]
    assert _records(together / "stopped") == _records(together / "whole")
    for index in (0, 1):
        _assert_same_bits(_final(together / "stopped", index), _final(together / "whole"))


@pytest.mark.parametrize("directory", ["whole", "copied"])
def test_one_process_with_two_devices(alone, directory):
    """All numbers of the state and every record, also in a run that the pair began."""
    one, two = _final(alone / "alone"), _final(alone / directory)
    for name in one:
        scale = np.max(np.abs(one[name]))
        assert scale > 0
        np.testing.assert_allclose(two[name], one[name], rtol=1e-5, atol=1e-5 * scale)
    records = _records(alone / "alone"), _records(alone / directory)
    assert "test/population_mir" in records[0][-1]
    for x, y in zip(*records, strict=True):
        assert x == pytest.approx(y, rel=1e-5, abs=1e-5)


def _slurm(port, index):
    """The variables that srun sets for a process of two; jax derives this port from the job ID."""
    return {
        "SLURM_JOB_ID": str(2**12 + port - (2**16 - 2**12)),
        "SLURM_STEP_NODELIST": "127.0.0.1",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(index),
        "SLURM_LOCALID": str(index),
    }


class Pair:
    """Two processes of `python -m launch`, joined by flags or as srun does."""

    def __init__(self, launcher, workdir, *arguments, by_srun=False):
        usual = launcher.environment
        port = _free_port(2**16 - 2**12 if by_srun else 0)
        self.workdir, self.started = workdir, []
        for index in (0, 1):
            flags, variables = ([], _slurm(port, index)) if by_srun else (_flags(port, index), {})
            launcher.environment = usual | {"XLA_FLAGS": ONE_DEVICE} | variables
            self.started.append(launcher.start(workdir, *arguments, *flags))
        launcher.environment = usual

    def wait_for(self, step):
        while last_step(self.workdir) < step and all(p.poll() is None for p in self.started):
            time.sleep(0.01)

    def ended(self):
        """Exit codes, stdout and stderr of both."""
        outputs = [process.communicate(timeout=300) for process in self.started]
        return [p.returncode for p in self.started], *zip(*outputs, strict=True)


LOST = (
    "another process of this run has ended or cannot be reached; the same commands resume the run"
)
LONGER = ["--config.num_steps=240", "--config.eval_every=20", "--config.checkpoint_every=20"]


def test_signals_and_kills(launcher, tmp_path):
    """SIGTERM to one process, then kills of either; a single process finishes the run."""
    pair = Pair(launcher, tmp_path, *LONGER)
    pair.wait_for(20)
    pair.started[1].send_signal(signal.SIGTERM)
    codes, out, err = pair.ended()
    assert codes == [143, 143], err
    assert f"grokking on 2 cpu devices of 2 processes: {tmp_path}\n" in out[0]
    line = r"launch: stopped at step (\d+) by SIGTERM; the same command resumes from there\n"
    stopped = int(re.fullmatch(line, err[0]).group(1))
    assert err[1] == ""
    assert str(stopped) in {p.name for p in (tmp_path / "checkpoints").iterdir()}

    for killed, name in ((1, "launch"), (0, "launch[1]")):
        stopped = last_step(tmp_path)
        pair = Pair(launcher, tmp_path, *LONGER)
        pair.wait_for(stopped + 20)
        pair.started[killed].kill()
        codes, _, err = pair.ended()  # in bounded time
        assert codes[1 - killed] in (1, -signal.SIGABRT), err  # jax may end it before Python does
        assert err[1 - killed] == f"{name}: {LOST}\n"
        assert stopped + 20 <= last_step(tmp_path) < 240

    code, out, err = launcher.run(tmp_path, *LONGER)
    assert (code, err) == (0, "")
    assert [s["processes"] for s in workdirs.starts(tmp_path)] == [2, 2, 2, 1]
    steps = [r["step"] for r in read_records(tmp_path)]
    assert steps == sorted(set(steps))
    assert (steps[0], steps[-1]) == (0, 240)
    seconds = [r["seconds"] for r in read_records(tmp_path)]
    assert seconds == sorted(seconds)


def test_refused_by_the_first_process(launcher, tmp_path):
    """It alone reads the directory: it reports the reason once, and the other ends too."""
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "alchemy"}))
    (tmp_path / "metrics.jsonl").write_text('{"step": 0, "seconds": 0.1}\n')
    codes, _, err = Pair(launcher, tmp_path, by_srun=True).ended()
    assert codes == [2, 1]
    assert re.fullmatch(r"launch: .* holds a run of another config .*\n", err[0])
    assert err[1] == ""


@pytest.fixture
def initialized(monkeypatch):
    """Calls of jax.distributed.initialize, replaced by a stub, on a machine without TPU."""
    calls = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: calls.append(args))
    monkeypatch.setattr(distributed, "_on_tpu", lambda: False)
    monkeypatch.setattr(distributed, "_initialize", distributed._initialize)
    preemption = jax.config.jax_enable_preemption_service
    yield calls
    jax.config.update("jax_enable_preemption_service", preemption)


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, [], []),
        ({"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4"}, [], []),  # in a batch script, without srun
        ({"SLURM_STEP_NUM_TASKS": "1"}, [], []),
        ({"SLURM_STEP_NUM_TASKS": "4"}, [], [(None, None, None)]),
        ({"SLURM_STEP_NUM_TASKS": "4"}, ["--num_processes=1"], []),
        ({"OMPI_COMM_WORLD_SIZE": "2"}, [], [(None, None, None)]),
        ({}, _flags(99, 1), [("127.0.0.1:99", 2, 1)]),
        ({"SLURM_STEP_NUM_TASKS": "4"}, ["--coordinator", "h:9"], [("h:9", None, None)]),
    ],
)
def test_when_processes_are_joined(initialized, monkeypatch, environment, arguments, expected):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    others = ["--config.seed=3", "--workdir", "x", "--help"]
    assert distributed.start(["launch", *arguments, *others]) == ["launch", *others]
    assert initialized == expected


def test_on_a_tpu_jax_asks_the_machine(initialized, monkeypatch):
    monkeypatch.setattr(distributed, "_on_tpu", lambda: True)
    assert distributed.start(["launch"]) == ["launch"]
    assert initialized == [(None, None, None)]


@pytest.mark.parametrize(
    "arguments",
    [["--num_processes=0"], ["--num_processes=two"], ["--process_id=-1"], ["--coordinator"]],
)
def test_invalid_flags(initialized, arguments):
    with pytest.raises(UserError, match=arguments[0].strip("-").partition("=")[0]):
        distributed.start(["launch", *arguments])
    assert initialized == []


def test_no_coordinator():
    with pytest.raises(UserError, match=r"cannot be joined.*--coordinator=HOST:PORT") as caught:
        distributed.start(["launch", "--num_processes=2", "--process_id=0"])
    assert len(str(caught.value).splitlines()) == 1
