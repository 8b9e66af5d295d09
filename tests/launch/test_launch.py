"""`python -m launch` as a user runs it: interrupted, resumed, with two seeds; its figures."""

import json
import re
import signal
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from infojax.training import read_records
from launch import workdir as workdirs
from tests.launch.launcher import begun, done, last_step, timeless
from tests.training import events

LONGER = ["--config.seed=0", "--config.num_steps=1500"]
LONGER += ["--config.eval_every=50", "--config.checkpoint_every=50"]
OF = ("means", "head")
NAMES = {
    *(f"{split}/{x}" for split in ("train", "test") for x in ("accuracy", "loss")),
    *(f"{split}/class_{x}" for split in ("train", "test") for x in ("mir", "hdr")),
    *(f"{split}/nc1" for split in ("train", "test")),
    *(f"{s}/population_{x}" for s in ("train", "test") for x in ("mir", "hdr", "mir_error")),
    *(f"{s}/population_{x}_mir" for s in ("train", "test") for x in ("chance", "corrected")),
    *(f"test/{x}_{n}" for x in ("mir", "hdr") for n in (16, 64)),
    *(f"test/entropy_{x}_{n}" for x in ("features", "head") for n in (16, 64)),
    *(f"test/{x}_mir_{n}" for x in ("chance", "corrected") for n in (16, 64)),
    *(f"{split}/{x}" for split in ("train", "test") for x in ("effective_rank", "nc1_quotient")),
    *(f"{split}/nc{i}" for split in ("train", "test") for i in (3, 4)),
    *(f"{s}/nc2_{x}_{of}" for s in ("train", "test") for x in ("norms", "angles") for of in OF),
    *(f"fourier/{x}" for x in ("gini_embedding", "gini_logit_map", "num_key_frequencies")),
    "test/restricted_loss",
    "train/excluded_loss",
    "train/loss_spike",
    "weights/squared_norm",
}
FEW_VALUES = {
    *(f"{split}/{x}" for split in ("train", "test") for x in ("accuracy", "nc4")),
    "fourier/num_key_frequencies",
}


@pytest.fixture(scope="module")
def uninterrupted(launcher, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("uninterrupted") / "runs" / "smoke"
    result = launcher.run(workdir, *LONGER)
    assert result == (0, done(workdir), "")
    return workdir


@pytest.fixture(scope="module")
def interrupted(launcher, tmp_path_factory):
    """A run that was stopped three times: its directory, and how each start ended."""
    workdir = tmp_path_factory.mktemp("interrupted")
    stops = []
    for signum, after in (
        (signal.SIGINT, 100),
        (signal.SIGTERM, 250),
        (signal.SIGKILL, 500),
    ):
        result = launcher.stop(workdir, *LONGER, signum=signum, after=after)
        stops.append((*result, last_step(workdir)))
    _truncate_newest_checkpoint(workdir)
    stops.append((*launcher.run(workdir, *LONGER), last_step(workdir)))
    return workdir, stops


def _truncate_newest_checkpoint(workdir):
    whole = [int(p.parent.name) for p in workdir.glob("checkpoints/[0-9]*/sums.json")]
    for path in (workdir / "checkpoints" / str(max(whole))).rglob("d/*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's signal mask from /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_modules_are_imported(launcher, tmp_path, signum):
    process = launcher.start(tmp_path / "run")
    status = Path("/proc", str(process.pid), "status")
    while not int(re.search(r"SigCgt:\s*(\w+)", status.read_text())[1], 16) >> 14 & 1:
        time.sleep(0.001)
    assert "jaxlib" not in Path("/proc", str(process.pid), "maps").read_text()
    process.send_signal(signum)
    line = f"launch: stopped by {signum.name}; the same command resumes from the last checkpoint\n"
    assert (*process.communicate(timeout=60), process.returncode) == ("", line, 128 + signum)
    assert not list(tmp_path.iterdir())


def test_run_directory(uninterrupted):
    names = {p.name for p in uninterrupted.iterdir()}
    (tfevents,) = (name for name in names if name.startswith("events.out.tfevents."))
    assert names == {
        ".lock",
        "config.json",
        "environment.json",
        "metrics.jsonl",
        tfevents,
        "checkpoints",
        "figures",
        "report.html",
        "summary.json",
    }
    assert {p.name for p in (uninterrupted / "checkpoints").iterdir()} == {"1450", "1500"}
    for name in ("grokking.png", "grokking_details.png"):
        assert (uninterrupted / "figures" / name).stat().st_size > 20_000


def test_what_ran(uninterrupted):
    config = json.loads((uninterrupted / "config.json").read_text())
    assert config["experiment"] == "grokking"
    assert (config["modulus"], config["num_steps"], config["seed"]) == (13, 1500, 0)
    assert config["metric_batch_sizes"] == [16, 64]
    environment = workdirs.starts(uninterrupted)[0]
    assert len(environment["devices"]) == 2  # as XLA_FLAGS says
    assert environment["processes"] == 1
    started = datetime.fromisoformat(environment["started"])
    assert timedelta() < datetime.now(UTC) - started < timedelta(hours=2)
    assert {"jax", "flax", "optax", "numpy"} <= set(environment["versions"])
    assert environment["python"].startswith(f"3.{sys.version_info.minor}.")


def test_records(uninterrupted):
    records = read_records(uninterrupted)
    assert [r["step"] for r in records][:12] == list(range(12))
    assert records[-1]["step"] == 1500
    for record in records:
        assert set(record) == {"step", "seconds"} | NAMES
    exact = {"test/population_mir_error", "train/population_mir_error"}
    assert {r[name] for r in records for name in exact} == {0}
    for name in NAMES - exact - FEW_VALUES:
        assert len({r[name] for r in records}) > len(records) // 2, name
    for name in ("accuracy", "loss"):
        assert records[-1][f"train/{name}"] != records[-1][f"test/{name}"]
    assert records[0]["train/accuracy"] < 0.3
    assert records[-1]["train/accuracy"] > 0.9
    assert records[-1]["train/loss"] < 0.2 * records[0]["train/loss"]


def test_events(uninterrupted):
    assert events.scalars(uninterrupted) == events.expected_scalars(uninterrupted)


def test_summary(uninterrupted):
    summary = json.loads((uninterrupted / "summary.json").read_text())
    last = read_records(uninterrupted)[-1]
    assert summary["steps"] == 1500
    assert summary["seconds"] == [last["seconds"]]
    assert set(summary["final"]) == NAMES
    for name, spread in summary["final"].items():
        assert spread == {"mean": last[name], "std": None}
    observed = summary["observations"]
    assert {"train_accuracy", "test_accuracy", "mir_fall", "hdr_peak"} <= set(observed)
    assert observed["hdr_end"]["measured"] == [last["test/hdr_64"]]
    for name, observation in observed.items():
        (measured,), (holds,) = observation["measured"], observation["holds"]
        without_bound = name in ("hdr_end", "mir_then", "mir_lowest")
        assert isinstance(holds, bool) or measured is None or without_bound, name
        assert observation["text"]


def test_run_again_when_done(launcher, uninterrupted):
    """Nothing is trained or recorded again; figures, report and environment.json are rewritten."""

    def files():
        everything = (p for p in uninterrupted.rglob("*") if p.is_file())
        return {p: p.read_bytes() for p in everything if p.parent.name != "figures"}

    before = files()
    assert launcher.run(uninterrupted, *LONGER) == (0, done(uninterrupted), "")
    after = files()
    assert after.keys() == before.keys()
    changed = {p.name for p in after if after[p] != before[p]}
    assert changed == {".lock", "environment.json", "report.html"}
    first, second = workdirs.starts(uninterrupted)
    assert first.keys() == second.keys()
    assert first["started"] < second["started"]


@pytest.mark.parametrize(("index", "signum", "code"), [(0, "SIGINT", 130), (1, "SIGTERM", 143)])
def test_signals(interrupted, index, signum, code):
    returned, out, err, last = interrupted[1][index]
    assert (returned, out) == (code, begun(interrupted[0]))
    (step,) = re.fullmatch(
        rf"launch: stopped at step (\d+) by {signum}; the same command resumes from there\n", err
    ).groups()
    assert last <= int(step) < 1500


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_signals_before_training(launcher, tmp_path, signum):
    """During compilation there is nothing to save yet."""
    process = launcher.start(tmp_path)
    assert process.stdout.readline() == begun(tmp_path)
    process.send_signal(signum)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (128 + signum, "")
    assert err == (
        f"launch: stopped by {signum.name}; the same command resumes from the last checkpoint\n"
    )
    assert not (tmp_path / "metrics.jsonl").exists()


def test_killed_in_mid_run(interrupted):
    returned, out, err, last = interrupted[1][2]
    assert (returned, out, err) == (-9, begun(interrupted[0]), "")
    assert last < 1500


def test_truncated_checkpoint(interrupted):
    workdir, stops = interrupted
    returned, out, err, last = stops[3]
    assert (returned, out, last) == (0, done(workdir), 1500)
    damaged, resuming = err.splitlines()
    assert re.match(r"checkpoint of step \d+ is damaged \(.+\): set aside", damaged)
    assert re.fullmatch(r"resuming from the checkpoint of step \d+", resuming)
    assert len(list((workdir / "checkpoints").glob("damaged-*"))) == 1


def test_interruptions_leave_no_trace_in_the_numbers(interrupted, uninterrupted):
    workdir = interrupted[0]
    assert timeless(read_records(workdir)) == timeless(read_records(uninterrupted))
    assert events.scalars(workdir) == events.expected_scalars(uninterrupted)
    of_both = [json.loads((d / "summary.json").read_text()) for d in (workdir, uninterrupted)]
    for summary in of_both:
        del summary["seconds"]
    assert of_both[0] == of_both[1]
    seconds = [r["seconds"] for r in read_records(workdir)]
    assert seconds == sorted(seconds)


@pytest.fixture(scope="module")
def two_seeds(launcher, tmp_path_factory):
    """Stopped during the second seed, and resumed."""
    workdir = tmp_path_factory.mktemp("two_seeds")
    arguments = [*LONGER, "--config.num_seeds=2"]
    stopped = launcher.stop(workdir, *arguments, signum=signal.SIGTERM, after=200, records="seed-1")
    assert stopped[0] == 143, stopped
    assert not (workdir / "summary.json").exists()
    assert launcher.run(workdir, *arguments) == (0, done(workdir), "")
    return workdir


def test_two_seeds(two_seeds, uninterrupted):
    names = {p.name for p in two_seeds.iterdir()}
    assert names == {
        ".lock",
        "config.json",
        "environment.json",
        "figures",
        "report.html",
        "seed-0",
        "seed-1",
        "summary.json",
    }
    first, second = (timeless(read_records(two_seeds / f"seed-{i}")) for i in (0, 1))
    assert [r["step"] for r in first] == [r["step"] for r in second]
    alone = read_records(uninterrupted)  # on two devices, an ensemble's seed on one
    for name in ("train/loss", "test/loss", "test/mir_64"):
        early = [[r[name] for r in records if r["step"] <= 100] for records in (first, alone)]
        assert early[0] == pytest.approx(early[1], rel=1e-3), name
    assert all(
        one["test/loss"] != other["test/loss"] for one, other in zip(first, second, strict=True)
    )
    summary = json.loads((two_seeds / "summary.json").read_text())
    assert len(summary["seconds"]) == 2
    for name in NAMES:
        x, y = first[-1][name], second[-1][name]
        assert summary["final"][name]["mean"] == pytest.approx((x + y) / 2)
        assert summary["final"][name]["std"] == pytest.approx(abs(x - y) / 2**0.5, abs=1e-9)
    for observation in summary["observations"].values():
        assert len(observation["measured"]) == len(observation["holds"]) == 2


def test_figures_of_one_run(launcher, two_seeds, tmp_path):
    """Drawn again into the run's directory."""
    figures = sorted((two_seeds / "figures").iterdir())
    for path in figures:
        path.unlink()
    code, out, err = launcher.run(tmp_path, str(two_seeds), module="launch.figures")
    assert (code, err) == (0, "")
    assert sorted(out.splitlines()) == [str(path) for path in figures]
    assert all(path.stat().st_size > 20_000 for path in figures)


def test_figures_of_several_runs(launcher, uninterrupted, two_seeds, tmp_path):
    runs = [str(uninterrupted), str(two_seeds)]
    code, out, err = launcher.run(tmp_path, *runs, module="launch.figures")
    assert (code, err) == (0, "")
    names = ("grokking", "grokking_details", "grokking_progress")
    assert out.splitlines() == [f"figures/{name}.png" for name in names]
    assert (tmp_path / "figures" / "grokking.png").stat().st_size > 20_000


def test_figures_of_no_run(launcher, two_seeds, tmp_path):
    missing = [str(two_seeds), str(tmp_path / "missing")]
    code, out, err = launcher.run(tmp_path, *missing, module="launch.figures")
    assert (code, out) == (2, "")
    assert err == f"launch.figures: {tmp_path / 'missing'} is not a run: it has no config.json\n"
    assert not any(tmp_path.iterdir())
