"""Directories of runs as a report reads them, with names that no page may take for markup."""

import json

import pytest

HOSTILE = "<img src='https://example.org/x.png' onerror='alert(1)'></script><script>alert(2)"
STEPS = (0, 10, 100, 10_000)


def _records(offset, steps):
    for step in steps:
        value = min(0.05 + offset + step / 12_000, 1)
        record = {"step": step, "seconds": step / 10, "test/accuracy": value}
        record |= {"test/mir_64": value / 2, "test/entropy_features_64": 1 + value, HOSTILE: 1.0}
        yield record | ({"batch/accuracy": value} if step else {})


def _write_lines(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def make_run(tmp_path):
    """Writes a run of some seeds, finished unless told otherwise."""

    def make(name, seeds=1, offset=0.0, steps=STEPS, finished=True, **config):
        workdir = tmp_path / name
        for seed in range(seeds):
            place = workdir if seeds == 1 else workdir / f"seed-{seed}"
            _write_lines(place / "metrics.jsonl", _records(offset + 0.1 * seed, steps))
        settings = {"experiment": "supervised", "seed": 0, "note": HOSTILE, "learning_rate": 0.1}
        start = {"python": "3.11.7", "versions": {"jax": "0.10.2", HOSTILE: HOSTILE}}
        contents = {"config.json": settings | config, "environment.json": [start, start]}
        contents["data.json"] = {"num_classes": 10}
        if finished:
            contents["summary.json"] = _summary(seeds)
        for file, content in contents.items():
            (workdir / file).write_text(json.dumps(content))
        return workdir

    return make


def _summary(seeds):
    def observed(text, measured, holds):
        return {"text": text, "measured": [measured] * seeds, "holds": holds[:seeds]}

    observations = {
        "one": observed("this holds", 0.9, [True, True]),
        "two": observed("this does not", 0.1, [False, False]),
        "three": observed("in one seed", 0.5, [True, False]),
        "four": observed("this was not measured", None, [None, None]),
        "five": observed(HOSTILE, {"a": 1, HOSTILE: 2}, [None, None]),
    }
    final = {"test/accuracy": {"mean": 0.9, "std": 0.01 if seeds > 1 else None}}
    return {"steps": 10_000, "final": final, "observations": observations}


@pytest.fixture
def make_study(make_run):
    """Writes a study of four points, two of each method."""

    def make(name="study"):
        workdir = make_run(name, steps=(), experiment="pruning")
        points = [
            {
                "seed": 0,
                "method": method,
                "sparsity": sparsity,
                "after": {"test/accuracy": accuracy, "train/accuracy": 1.0, "own": [1.0, 3.0]},
            }
            for method, sparsity, accuracy in (
                ("one_shot", 0.5, 0.8),
                (HOSTILE, 0.5, 0.6),
                ("one_shot", 0.9, 0.15),
                (HOSTILE, 0.9, 0.1),
            )
        ]
        _write_lines(workdir / "points.jsonl", points)
        return workdir

    return make
