"""A grid of two points and two seeds on digits: table, ledger, and resumption."""

import json

import pytest

from configs import information_loss
from infojax.errors import UserError
from infojax.training import read_records, storage
from launch.experiments import supervised, sweep
from launch.ledger import read_points
from tests.launch.launcher import timeless

GRID = ("mi_weight=0.0,id_weight=0.0", "mi_weight=0.1,id_weight=0.1")


@pytest.fixture(scope="module")
def config():
    config = information_loss.get_config("smoke")
    config.num_steps = config.eval_every = 6
    config.population_splits = ()
    return config


def _run(config, workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    storage.write_json(workdir / "config.json", json.loads(config.to_json()))
    sweep.run(config, workdir)
    return json.loads((workdir / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("sweep")
    return _run(config, workdir), workdir


def test_summary_holds_what_the_points_recorded(finished):
    summary, workdir = finished
    assert summary["seeds"] == [0, 1]
    plain, informed = summary["points"]
    assert plain["values"] == {"mi_weight": 0.0, "id_weight": 0.0}
    assert informed["values"] == {"mi_weight": 0.1, "id_weight": 0.1}
    by_seed = {}
    for name in GRID:
        records = [read_records(workdir / "points" / name / f"seed-{s}")[-1] for s in (0, 1)]
        assert [r["step"] for r in records] == [6, 6]
        by_seed[name] = [r["test/mir_32"] for r in records]
    values = list(by_seed.values())
    assert [p["metrics"]["test/mir_32"]["by_seed"] for p in summary["points"]] == values
    difference = informed["metrics"]["test/mir_32"]["difference"]["mean"]
    expected = sum(b - a for a, b in zip(*values, strict=True)) / 2
    assert difference == pytest.approx(expected) and difference != 0
    table = (workdir / "table.md").read_text().splitlines()
    assert table[0].startswith("| mi_weight | id_weight | test/accuracy | difference |")
    assert (workdir / "figures" / "sweep.png").stat().st_size > 10_000


def test_ledger_holds_the_last_record_of_each_seed(finished):
    workdir, points = finished[1], read_points(finished[1])
    assert [(p["point"], p["seed"]) for p in points] == [(n, s) for n in GRID for s in (0, 1)]
    for point in points:
        directory = workdir / "points" / point["point"]
        assert point["record"] == read_records(directory / f"seed-{point['seed']}")[-1]
        config = json.loads((directory / "config.json").read_text())
        assert point["values"] == {name: config[name] for name in ("mi_weight", "id_weight")}


def test_a_point_in_nested_directories_keeps_its_name(tmp_path):
    values = {"operation": "a/b", "modulus": 13}
    (tmp_path / "points" / sweep.name_of(values)).mkdir(parents=True)
    storage.write_json(
        tmp_path / "points" / "operation=a" / "b,modulus=13" / "config.json",
        {"experiment": "grokking"},
    )
    (run,) = sweep._runs(tmp_path, {"points": [{"values": values}]})
    assert run.name == "operation=a/b,modulus=13"


def test_a_metric_that_is_never_recorded(config, tmp_path):
    """It is noticed before a step is trained, and leaves no record."""
    config = config.copy_and_resolve_references()
    config.table_metrics = ("test/accurracy",)
    message = "'test/accurracy' is not recorded; did you mean test/accuracy"
    with pytest.raises(UserError, match=message):
        _run(config, tmp_path)
    assert not list(tmp_path.rglob("metrics.jsonl"))
    assert not list(tmp_path.rglob("checkpoints/[0-9]*"))


def test_stopped_and_run_again(finished, config, tmp_path, monkeypatch):
    """Finished seeds are not run again, and the others end in the same numbers."""
    run_seed, started = supervised.run_seed, []

    def stop(program, point, seed, directory):
        started.append((point.mi_weight, seed))
        if started == [(0.0, 0), (0.0, 1), (0.1, 0)]:
            raise KeyboardInterrupt
        return run_seed(program, point, seed, directory)

    monkeypatch.setattr(supervised, "run_seed", stop)
    with pytest.raises(KeyboardInterrupt):
        _run(config, tmp_path)
    partial = json.loads((tmp_path / "summary.json").read_text())
    assert [p["values"]["mi_weight"] for p in partial["points"]] == [0.0]
    lines = {p: p.read_text() for p in tmp_path.rglob("metrics.jsonl")}
    assert len(lines) == 2
    summary = _run(config, tmp_path)
    assert started[3:] == [(0.1, 0), (0.1, 1)]
    assert timeless([summary]) == timeless([finished[0]])
    assert all(path.read_text() == text for path, text in lines.items())
