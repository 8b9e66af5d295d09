"""The command: order, limits, what it leaves out; results on disk, volumes, figures."""

import sys
import time

import pytest

from benchmarks.accelerator import (
    __main__ as command,
    archive,
    figures,
    machine,
    part,
    parts,
    results,
)
from benchmarks.accelerator.context import Clock, Context, Measurement, OutOfTime


def made(monkeypatch, tmp_path, measurements, seconds=100.0, small=False):
    monkeypatch.setattr(parts, "measurements", lambda *_: measurements)
    context = Context(tmp_path, small, Clock(seconds), tmp_path, "large")
    return parts.measure("metrics", context, {"device": "card"})


def fail():
    raise ValueError("two\nlines")


def stop():
    raise OutOfTime({"step": 3})


def test_a_failure_leaves_the_others_and_is_tried_again(monkeypatch, tmp_path):
    calls = []
    good = Measurement("good", lambda: calls.append(1) or {"value": 2.0})
    assert not made(monkeypatch, tmp_path, [Measurement("bad", fail), good])
    found = results.measured(tmp_path, "metrics")
    assert found["bad"]["error"] == "ValueError: two lines"
    assert found["good"]["value"] == 2.0
    assert found["good"]["device"] == "card"
    assert made(monkeypatch, tmp_path, [Measurement("bad", lambda: {}), good])
    assert results.complete(tmp_path, "metrics")
    assert len(calls) == 1


def test_unfinished_work_is_recorded_and_not_complete(monkeypatch, tmp_path):
    assert not made(monkeypatch, tmp_path, [Measurement("long", stop)])
    assert results.measured(tmp_path, "metrics")["long"]["status"] == results.UNFINISHED
    assert results.measured(tmp_path, "metrics")["long"]["step"] == 3


def test_without_time_nothing_is_begun(monkeypatch, tmp_path):
    assert not made(monkeypatch, tmp_path, [Measurement("a", fail, 20.0)], seconds=19.0)
    assert not results.measured(tmp_path, "metrics")


def test_training_is_complete_for_a_recipe_alone():
    assert parts.goal("training", "paper") != parts.goal("training", "large")
    assert parts.goal("step", "paper") == parts.goal("step", "large")


def test_small_and_full_results_are_not_mixed(monkeypatch, tmp_path):
    results.append(tmp_path, {"part": "step", "name": "a", "small": False})
    monkeypatch.setattr(sys, "argv", ["part", "step", f"--out={tmp_path}"])
    with pytest.raises(SystemExit, match="full sizes"):
        part.main()


def test_a_line_cut_off_is_ignored(tmp_path):
    results.append(tmp_path, {"part": "step", "name": "a"})
    with (tmp_path / results.FILE).open("a") as file:
        file.write('{"part": "st')
    results.append(tmp_path, {"part": "step", "name": "b"})
    assert list(results.measured(tmp_path, "step")) == ["a", "b"]


def run(monkeypatch, tmp_path, child, *options):
    """Runs the command with a stand-in for the process of a part."""
    exact, started = command.subprocess.Popen, []

    def popen(arguments):
        started.append(arguments[3])
        return exact([sys.executable, "-c", child])

    monkeypatch.setattr(command.subprocess, "Popen", popen)
    monkeypatch.setattr(machine, "describe_call", lambda _: CALL)
    monkeypatch.setattr(sys, "argv", ["accelerator", f"--out={tmp_path}", *options])
    command.main()
    return started


CALL = {"command": "c", "commit": "abc", "python": "3", "packages": {}, "card": ""}


def test_parts_run_in_order_and_complete_ones_are_skipped(monkeypatch, tmp_path, capsys):
    results.append(tmp_path, {results.COMPLETE: "metrics"})
    started = run(monkeypatch, tmp_path, "import sys; sys.exit(3)")
    assert started == [name for name in parts.PARTS if name != "metrics"]
    assert "mathematics: ended with exit code 3" in capsys.readouterr().out


def test_a_part_that_hangs_is_killed(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(command, "_GRACE", 0.5)
    monkeypatch.setattr(command, "_LONGER", 0.0)
    monkeypatch.setattr(command, "_RESERVE", 0.0)
    monkeypatch.setattr(command, "_LEAST", 0.1)
    start = time.monotonic()
    child = "import signal, time; signal.signal(signal.SIGTERM, print); time.sleep(60)"
    run(monkeypatch, tmp_path, child, "--only=step", "--minutes=0.005")
    assert time.monotonic() - start < 30
    assert "step: ended with exit code -9" in capsys.readouterr().out


def test_results_travel_in_volumes(monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "_VOLUME", 500)
    out = tmp_path / "out"
    results.append(out, {"part": "step", "name": "a"})
    (out / "runs").mkdir()
    content = bytes(range(256)) * 8
    for step in ("9", "10"):
        (out / "runs" / "checkpoints" / step).mkdir(parents=True)
        (out / "runs" / "checkpoints" / step / "array").write_bytes(b"")
    (out / "runs" / "state").write_bytes(content)
    (out / "compiled").mkdir()
    volumes = archive.write(out, tmp_path / "volumes")
    assert len(volumes) > 1
    assert max(path.stat().st_size for path in volumes) <= 500
    assert archive.restore(tmp_path / "volumes", tmp_path / "other")
    assert (tmp_path / "other" / "runs" / "state").read_bytes() == content
    assert list(results.measured(tmp_path / "other", "step")) == ["a"]
    assert not (tmp_path / "other" / "compiled").exists()
    kept = tmp_path / "other" / "runs" / "checkpoints"
    assert [path.name for path in kept.iterdir()] == ["10"]
    assert not archive.restore(tmp_path / "nowhere", tmp_path / "other")


def test_figures_are_of_what_was_measured_alone(tmp_path):
    assert figures.draw(tmp_path) == []
    record = {"part": "metrics", "status": results.OK, "contender": "infojax", "seconds": 1.0}
    for gradient in (False, True):
        for n in (4, 8):
            fields = {"name": f"{n} {gradient}", "n": n, "gradient": gradient}
            results.append(tmp_path, record | fields)
    assert [path.name for path in figures.draw(tmp_path)] == ["metrics.png"]


def test_missing_parts_of_the_data_are_named(tmp_path):
    store = tmp_path / "store"
    assert "manifest" in machine.missing_data(tmp_path, store)[0]
    (tmp_path / machine.MANIFEST).write_text('{"parts": {"a": {}, "b": {}, "c": {}}}')
    (tmp_path / "a").touch()
    store.mkdir()
    (store / "b.npz").touch()
    assert machine.missing_data(tmp_path, store) == ["c"]


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_NEEDED", ("jax", "no_such_package"))
    with pytest.raises(SystemExit, match="no_such_package"):
        run(monkeypatch, tmp_path, "")
