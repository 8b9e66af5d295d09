"""Records of very long runs, as they are drawn."""

import itertools
from pathlib import Path

import numpy as np

from launch.runs import Run
from launch.thinning import thinned

N = 60_000


def _run(*histories):
    return Run("run", Path("run"), {}, list(histories))


def _history(rng, n=N):
    noise = rng.normal(size=(n, 2))
    names = ("test/loss", "test/mir_64")
    return [
        {"step": 3 * k, "seconds": 0.1 * k, **dict(zip(names, x, strict=True))}
        for k, x in enumerate(noise.tolist())
    ]


def test_few_records_are_drawn_as_they_are():
    run = _run(_history(np.random.default_rng(0), 300))
    assert thinned(run) is run
    assert thinned(_run()).histories == []


def test_extremes_of_every_stretch_are_kept():
    """Single spikes, the first thousand steps of a logarithmic axis, and both ends."""
    history = _history(np.random.default_rng(1))
    history[12_345]["test/loss"], history[54_321]["test/mir_64"] = 99.0, -99.0
    del history[0]["test/mir_64"]  # metrics of a step's batch begin after step 0
    (kept,) = thinned(_run(history)).histories
    assert 2_000 < len(kept) < 11_000
    assert kept[0] == history[0] and kept[-1] == history[-1]
    assert history[12_345] in kept and history[54_321] in kept
    assert all(a["step"] < b["step"] for a, b in itertools.pairwise(kept))
    assert sum(record["step"] < 300 for record in kept) > 50
    for part in np.array_split(np.arange(N), 100):  # the outline is that of all records
        values = [history[k]["test/loss"] for k in part]
        among = [r["test/loss"] for r in kept if 3 * part[0] <= r["step"] <= 3 * part[-1]]
        within = values[60:-60]  # stretches of 48 records may lie in two parts
        assert max(values) >= max(among) >= max(within)
        assert min(values) <= min(among) <= min(within)


def test_seeds_keep_the_same_steps():
    rng = np.random.default_rng(2)
    first, second = thinned(_run(_history(rng), _history(rng)[: N // 2])).histories
    steps = [record["step"] for record in first]
    assert [record["step"] for record in second] == [s for s in steps if s < 3 * (N // 2)]
