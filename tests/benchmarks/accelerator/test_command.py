"""The command: order, limits, what it leaves out; results on disk, volumes, figures."""

import argparse
import json
import os
import signal
import sys
import time

import numpy as np
import pytest

from benchmarks.accelerator import (
    __main__ as command,
    archive,
    figures,
    machine,
    part,
    parts,
    report,
    results,
)
from benchmarks.accelerator.context import (
    Clock,
    Context,
    Measurement,
    OutOfTime,
    stop_on_sigterm,
)


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


def test_what_failed_comes_last_in_the_next_call(monkeypatch, tmp_path):
    calls = []
    bad, good = Measurement("bad", fail), Measurement("good", lambda: calls.append(1) or {})
    made(monkeypatch, tmp_path, [bad])
    retried = bad._replace(run=lambda: calls.append(2) or {})
    assert made(monkeypatch, tmp_path, [retried, good])
    assert calls == [1, 2]


def test_a_signal_is_recorded_with_the_measurement_that_it_stopped(monkeypatch, tmp_path):
    def hang():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    before = signal.getsignal(signal.SIGTERM)
    stop_on_sigterm()
    try:
        assert not made(monkeypatch, tmp_path, [Measurement("long", hang)])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert "stopped" in results.measured(tmp_path, "metrics")["long"]["error"]


def test_what_must_hold_in_every_call_is_asked_again(monkeypatch, tmp_path):
    data = Measurement("data", lambda: {})
    assert made(monkeypatch, tmp_path, [data])
    assert not made(monkeypatch, tmp_path, [data._replace(run=fail, again=True)])
    assert results.measured(tmp_path, "metrics")["data"]["status"] == results.FAILED


def test_training_is_complete_for_a_recipe_alone():
    assert parts.goal("training", "paper") != parts.goal("training", "large")
    assert parts.goal("step", "paper") == parts.goal("step", "large")


@pytest.mark.parametrize(
    ("field", "message"),
    [({"small": False}, "results of full sizes"), ({"device": "other"}, "results of other")],
)
def test_results_of_other_sizes_and_devices_are_not_mixed(field, message, tmp_path, capsys):
    about = {"small": True, "device": "card"}
    part.check([{"part": "step", "name": "a", **about}, {results.CALL: {}}], about, tmp_path)
    with pytest.raises(SystemExit) as ended:
        part.check([{"part": "step", "name": "a", **about, **field}], about, tmp_path)
    assert ended.value.code == part.REFUSED
    assert message in capsys.readouterr().err


def test_a_card_that_jax_does_not_see_is_an_error(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(machine, "card", lambda: "H1")
    monkeypatch.setattr(part, "stop_on_sigterm", lambda: None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", ["part", "step", f"--out={tmp_path}"])
    with pytest.raises(SystemExit):
        part.main()
    assert "jax does not see the card (H1)" in capsys.readouterr().err


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
    monkeypatch.setattr(command, "stop_on_sigterm", lambda: None)
    monkeypatch.setattr(sys, "argv", ["accelerator", f"--out={tmp_path}", *options])
    command.main()
    return started


CALL = {"command": "c", "commit": "abc", "python": "3", "packages": {}, "card": ""}


def test_parts_run_in_order_and_complete_ones_are_skipped(monkeypatch, tmp_path, capsys):
    results.append(tmp_path, {results.COMPLETE: "metrics"})
    started = run(monkeypatch, tmp_path, "import sys; sys.exit(3)")
    assert started == [name for name in parts.PARTS if name != "metrics"]
    assert "mathematics: ended with exit code 3" in capsys.readouterr().out


def test_time_is_shared_by_the_parts_that_are_left(tmp_path):
    options = argparse.Namespace(
        out=tmp_path, only=None, recipe="large", parts=tmp_path, small=True
    )
    share = lambda name: command._share(name, options)  # noqa: E731
    assert share("mathematics") == pytest.approx(parts.PARTS["mathematics"].share)
    assert share("training") == 1
    before = share("step")
    results.append(tmp_path, {results.COMPLETE: "grokking"})
    assert share("step") > before
    options.small = False  # without data, training takes no time
    assert share("population") == 1 == share("training")
    options.only = "step"
    assert share("step") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes=0"], "invalid number of minutes value: '0'"),
        (["--minutes=nan"], "invalid number of minutes"),
        (["--only=all"], "invalid choice"),
        (["--resume_from=nowhere"], "there are no volumes in nowhere"),
    ],
)
def test_bad_arguments_are_one_line(options, message, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, "", *options)
    assert ended.value.code == part.REFUSED
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


def test_what_a_part_refuses_ends_the_command(monkeypatch, tmp_path):
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, f"import sys; sys.exit({part.REFUSED})")
    assert ended.value.code == part.REFUSED


def test_a_value_that_is_wrong_is_said_and_ends_the_command_with_an_error(monkeypatch, tmp_path):
    record = {"part": "mathematics", "name": "products", "status": results.OK}
    results.append(tmp_path, record | {"holds": False})
    with pytest.raises(SystemExit) as ended:
        run(monkeypatch, tmp_path, "")
    assert ended.value.code == 1
    assert "Does not hold: products." in (tmp_path / "report.md").read_text()
    results.append(tmp_path, record | {"holds": True})
    assert report.wrong_results(tmp_path) == []


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


def checkpoint(out, run, step, size):
    directory = out / "runs" / run / "checkpoints" / str(step)
    directory.mkdir(parents=True)
    (directory / "array").write_bytes(bytes(size))


def test_results_travel_in_volumes(monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "_VOLUME", 500)
    out, other, volumes = tmp_path / "out", tmp_path / "other", tmp_path / "volumes"
    results.append(out, {"part": "step", "name": "a"})
    for step in (9, 10):
        checkpoint(out, "one", step, 10)
    content = np.random.default_rng(0).bytes(2000)
    (out / "runs" / "one" / "records").write_bytes(content)
    (out / "compiled").mkdir()
    files = archive.write(out, volumes)
    assert len(files) > 3
    assert max(path.stat().st_size for path in files) <= 500
    assert (volumes / results.FILE).read_text() == (out / results.FILE).read_text()
    archive.restore(volumes, other)
    assert (other / "runs" / "one" / "records").read_bytes() == content
    assert list(results.measured(other, "step")) == ["a"]
    assert not (other / "compiled").exists()
    assert [p.name for p in (other / "runs" / "one" / "checkpoints").iterdir()] == ["10"]
    files[1].unlink()
    with pytest.raises(archive.DamagedError, match="missing or damaged"):
        archive.restore(volumes, other)


def test_an_unfinished_run_goes_before_finished_ones_where_room_is_short(monkeypatch, tmp_path):
    monkeypatch.setattr(archive, "_ROOM", 200)
    for run in ("large-baseline-seed0", "large-baseline-seed1", "large-mi0.1"):
        checkpoint(tmp_path, run, 10, 100)
    for run in ("large-baseline-seed0", "large-baseline-seed1"):
        record = {"part": "training", "name": run, "status": results.OK, "run": run}
        results.append(tmp_path, record)
    left = archive._left_behind(tmp_path)
    assert [path.parents[1].name for path in left] == ["large-baseline-seed1"]


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
    (tmp_path / machine.MANIFEST).write_text('{"parts": {"a"')
    assert "manifest" in machine.missing_data(tmp_path, store)[0]
    about = {name: {"sha256": name} for name in "abc"}
    (tmp_path / machine.MANIFEST).write_text(json.dumps({"parts": about}))
    (tmp_path / "a").touch()
    store.mkdir()
    machine.decoded(store, "b", about["b"]).touch()
    machine.decoded(store, "c", {"sha256": "before"}).touch()  # packed again since
    assert machine.missing_data(tmp_path, store) == ["c"]


def test_what_is_missing_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(machine, "_NEEDED", ("jax", "no_such_package"))
    with pytest.raises(SystemExit):
        run(monkeypatch, tmp_path, "")
    assert "no_such_package" in capsys.readouterr().err
