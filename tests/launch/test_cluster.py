"""Cluster templates: checked by shellcheck, and run with stub commands that record their calls."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import pytest
import yaml

from launch import distributed
from tests.launch.launcher import ROOT

CLUSTER = ROOT / "launch" / "cluster"
ARGUMENTS = [
    "--config=configs/cifar10.py:paper",
    "--workdir=a b",
    """--config.x=(it's "$HOME" *)""",
]
NOTES = """#!{python}
import json, os, sys
with open({path!r}, "a") as file:
    file.write(json.dumps([os.path.basename(sys.argv[0]), *sys.argv[1:]]) + "\\n")
sys.exit(int(os.environ.get("EXIT_CODE_" + os.path.basename(sys.argv[0]), 0)))
"""


class Commands:
    """Stubs on the PATH that record how they are called."""

    def __init__(self, directory, *names):
        self.notes = directory / "notes"
        self.directory = directory / "bin"
        for name in names:
            self.add(self.directory / name)

    def add(self, path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NOTES.format(python=sys.executable, path=str(self.notes)))
        path.chmod(0o755)

    def run(self, command, cwd=ROOT, **environment):
        """Runs a command; returns its exit code, stderr and calls of stubs."""
        self.notes.write_text("")
        env = {"PATH": f"{self.directory}:/usr/bin:/bin", "HOME": str(cwd), **environment}
        done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True)
        calls = [json.loads(line) for line in self.notes.read_text().splitlines()]
        return done.returncode, done.stderr, calls


def test_shellcheck():
    scripts = sorted(CLUSTER.glob("*.sh"))
    assert len(scripts) == 3
    assert all(os.access(script, os.X_OK) for script in scripts)
    command = [Path(sys.executable).parent / "shellcheck", *scripts]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("code", "again"), [(0, False), (1, False), (143, True)])
def test_slurm(tmp_path, code, again):
    """Requeues a run only if SIGTERM stopped it."""
    commands = Commands(tmp_path, "srun", "scontrol")
    environment = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_ID": "17"}
    script = [CLUSTER / "slurm.sh", *ARGUMENTS]
    ended = commands.run(script, **environment, EXIT_CODE_srun=str(code))
    calls = [["srun", "--kill-on-bad-exit=1", "python", "-m", "launch", *ARGUMENTS]]
    calls += [["scontrol", "requeue", "17"]] * again
    assert ended == (code, "", calls)


def test_slurm_array(tmp_path):
    """{} is the number of the task; each is requeued by itself."""
    commands = Commands(tmp_path, "srun", "scontrol")
    environment = {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "21",
        "SLURM_ARRAY_TASK_ID": "3",
        "EXIT_CODE_srun": "143",
    }
    script = [CLUSTER / "slurm.sh", "--config.seed={}", "--workdir=a b/seed-{}", "--config.x=({)"]
    code, error, (run, again) = commands.run(script, **environment)
    assert (code, error, again) == (143, "", ["scontrol", "requeue", "21"])
    assert run[-3:] == ["--config.seed=3", "--workdir=a b/seed-3", "--config.x=({)"]


def test_slurm_options_come_first():
    """sbatch ignores options after the first command."""
    lines = (CLUSTER / "slurm.sh").read_text().splitlines()
    commands = [i for i, line in enumerate(lines) if line and not line.startswith("#")]
    options = [i for i, line in enumerate(lines) if line.startswith("#SBATCH ")]
    assert len(options) > 5
    assert max(options) < min(commands)
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", lines[i]) for i in options)


def test_tpu_vm(tmp_path):
    """The command on the hosts receives the arguments unchanged."""
    commands = Commands(tmp_path, "gcloud")
    settings = {"TPU_NAME": "pod", "TPU_ZONE": "zone-b"}
    code, _, (call,) = commands.run([CLUSTER / "tpu_vm.sh", *ARGUMENTS], **settings)
    assert code == 0
    assert call[:6] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "pod"]
    assert {"--zone=zone-b", "--worker=all"} < set(call)
    commands.add(tmp_path / "infojax" / ".venv" / "bin" / "python")
    on_host = call[-1].removeprefix("--command=")
    calls = commands.run(["bash", "-c", on_host], cwd=tmp_path)[2]
    assert calls == [["python", "-m", "launch", *ARGUMENTS]]


@pytest.mark.parametrize(
    ("settings", "arguments"),
    [({"TPU_NAME": "pod"}, ARGUMENTS), ({"TPU_NAME": "pod", "TPU_ZONE": "z"}, [])],
)
def test_tpu_vm_names_missing_settings(tmp_path, settings, arguments):
    commands = Commands(tmp_path, "gcloud")
    code, err, calls = commands.run([CLUSTER / "tpu_vm.sh", *arguments], **settings)
    assert (code != 0, calls) == (True, [])
    assert "its zone" in err or "--config" in err


@pytest.fixture
def gke():
    return list(yaml.safe_load_all((CLUSTER / "gke.yaml").read_text()))


def test_gke_names(gke):
    """The coordinator is the service's name for the job's first pod."""
    service, job = gke
    assert (service["kind"], job["kind"]) == ("Service", "Job")
    name, pod = job["metadata"]["name"], job["spec"]["template"]["spec"]
    assert service["spec"]["selector"] == {"job-name": name}
    assert pod["subdomain"] == service["metadata"]["name"]
    assert service["spec"]["publishNotReadyAddresses"]
    assert job["spec"]["completionMode"] == "Indexed"
    assert job["spec"]["completions"] == job["spec"]["parallelism"]
    (container,) = pod["containers"]
    environment = {e["name"]: e["value"] for e in container["env"]}
    assert environment["NUM_PROCESSES"] == str(job["spec"]["completions"])
    assert environment["COORDINATOR"].startswith(f"{name}-0.{pod['subdomain']}:")
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["volumes"]}


def test_gke_pod(gke, tmp_path, monkeypatch):
    """Pods join the coordinator; on TPU hosts jax does that by itself."""
    (container,) = gke[1]["spec"]["template"]["spec"]["containers"]
    environment = {e["name"]: e["value"] for e in container["env"]}
    commands = Commands(tmp_path, "python")
    command = [*container["command"], *container["args"]]
    code, err, (call,) = commands.run(command, **environment, JOB_COMPLETION_INDEX="1")
    assert (code, err, call[:3]) == (0, "", ["python", "-m", "launch"])
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *args, **_: joined.append(args))
    assert distributed.start(call[2:]) == ["launch", *container["args"]]
    assert joined == [(environment["COORDINATOR"], 2, 1)]
    jax.config.update("jax_enable_preemption_service", True)
    on_tpu = commands.run(command, **environment, TPU_WORKER_HOSTNAMES="a,b")
    assert on_tpu == (0, "", [["python", "-m", "launch", *container["args"]]])
