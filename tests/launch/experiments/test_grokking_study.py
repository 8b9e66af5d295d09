"""A study of grokking: seeds of a condition together, what is compared, resumption; all configs."""

import json

import jax
import numpy as np
import pytest

from configs import grokking as configs, grokking_controls, grokking_interventions
from infojax.training import read_records, storage
from launch import plots, settings
from launch.experiments import grokking, sweep
from launch.results import conditions
from launch.runs import load_run
from tests.launch.launcher import timeless

NAMES = ("weight_decay=1.0,operation=a+b", "weight_decay=1.0,operation=random")


@pytest.fixture(scope="module")
def config():
    config = configs.get_config("seeds-smoke")
    config.update({"points": ((1.0, "a+b"), (1.0, "random")), "num_steps": 20, "early_epoch": 5})
    config.update({"progress_measures": False, "chance_permutations": 0})
    return settings.copied(config)


def _run(config, workdir):
    workdir.mkdir(parents=True, exist_ok=True)
    storage.write_json(workdir / "config.json", json.loads(config.to_json()))
    with jax.numpy_dtype_promotion("standard"):  # which AdamW needs
        sweep.run(config, workdir)
    return json.loads((workdir / "summary.json").read_text())


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("study")
    return _run(config, workdir), workdir


def test_summary_and_table_hold_the_comparison(finished):
    summary, workdir = finished
    runs = [load_run(workdir / "points" / name) for name in NAMES]
    compared, table = conditions.compare(runs)
    assert summary["comparison"] == json.loads(json.dumps(compared["comparison"]))
    assert list(summary["comparison"]["conditions"]) == list(NAMES)
    assert (workdir / "table.md").read_text().endswith(f"\n\n{table}")
    last = [[h[-1]["test/class_mir"] for h in run.histories] for run in runs]
    assert [p["metrics"]["test/class_mir"]["by_seed"] for p in summary["points"]] == last


def test_figures(finished, tmp_path):
    """Also when they are drawn again."""
    _, workdir = finished
    of_first = ("aligned", "seeds", "order", "spectra")
    names = {f"grokking_{name}.png" for name in ("conditions", "onsets", *of_first)}
    names |= {"sweep.png"}
    assert {path.name for path in (workdir / "figures").iterdir()} == names
    assert {path.name for path in plots.draw(sweep.figures, [workdir], tmp_path)} == names


def test_stopped_and_run_again(finished, config, tmp_path, monkeypatch):
    """Seeds that are missing are trained together, the others not again."""
    run_seeds, started = grokking.run_seeds, []

    def stop(program, point, places):
        started.append((point.operation, sorted(places)))
        if len(started) == 2:
            raise KeyboardInterrupt
        return run_seeds(program, point, places)

    monkeypatch.setattr(grokking, "run_seeds", stop)
    with pytest.raises(KeyboardInterrupt):
        _run(config, tmp_path)
    partial = json.loads((tmp_path / "summary.json").read_text())
    assert list(partial["comparison"]["conditions"]) == [NAMES[0]]
    summary = _run(config, tmp_path)
    assert started == [("a+b", [0, 1]), ("random", [0, 1]), ("random", [0, 1])]
    assert timeless([summary]) == timeless([finished[0]])
    for name in NAMES:
        for seed in ("seed-0", "seed-1"):
            here, there = (
                timeless(read_records(w / "points" / name / seed)) for w in (tmp_path, finished[1])
            )
            assert here == there and here[-1]["step"] == 20


def _studies():
    for module in (configs, grokking_controls, grokking_interventions):
        for variant, changes in module._VARIANTS.items():
            if "points" in changes:
                yield pytest.param(module, variant, id=f"{module.__name__[8:]}:{variant}")


@pytest.mark.parametrize(("module", "variant"), list(_studies()))
def test_every_study_can_be_run(module, variant):
    """Its points are settings of grokking, whose batches the test examples hold."""
    config = settings.copied(module.get_config(variant))
    sweep.check(config, grokking)
    for values, point in sweep.points(config):
        assert max(point.metric_batch_sizes) <= _test_examples(point), values
        assert point.early_epoch < point.num_steps
    known = {f"test/{m}_{n}" for m in ("mir", "hdr") for n in point.metric_batch_sizes}
    known |= {"test/accuracy", "test/class_mir", "test/class_hdr"}
    assert set(config.table_metrics) <= known


def _test_examples(point):
    pairs = point.modulus * (point.modulus - (point.operation == "a/b"))
    return pairs - int(point.train_fraction * pairs)


def test_every_study_has_a_smoke_test():
    names = set(grokking_controls._VARIANTS)
    full = names - {"paper"} - {name for name in names if "smoke" in name}
    assert len(full) >= 7
    for name in full - {"cpu"}:
        whole, few = (grokking_controls.get_config(v) for v in (name, f"{name}-smoke"))
        assert whole.fields == few.fields and few.num_steps <= 60 < whole.num_steps


def test_interventions_change_one_thing_each():
    rows = grokking_interventions.get_config("cpu").points
    changed = [sum(a != b for a, b in zip(row, rows[0], strict=True)) for row in rows]
    until = [row[2] != "" for row in rows]
    np.testing.assert_array_equal(changed, [0] + [1 + u for u in until[1:]])
