"""Lines between networks: exact ends, flat lines, permuted copies, resumed and reused runs."""

import json

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import pytest
from jax import lax

from configs import mode_connectivity as configs
from infojax import training
from infojax.errors import UserError
from infojax.methods.interpolation import barrier
from launch import classification, plots, runs, workdir as workdirs
from launch.experiments import mode_connectivity, supervised
from launch.experiments.mode_connectivity import Network
from launch.ledger import read_points
from tests.launch.experiments.permutation import permuted
from tests.launch.launcher import run_here, timeless

RATE = 0.05
SETTINGS = {
    "learning_rates": (RATE,),
    "num_omegas": 5,
    "num_steps": 40,
    "eval_every": 20,
    "checkpoint_every": 20,
    "population_splits": ("test",),
}


def smoke(**changes):
    config = configs.get_config("smoke")
    config.update(SETTINGS | changes)
    return config


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run through the command line's main function."""
    workdir = tmp_path_factory.mktemp("runs") / "mode_connectivity"
    return run_here(workdir, "configs/mode_connectivity.py:smoke", SETTINGS)


@pytest.fixture(scope="module")
def program():
    return classification.build(mode_connectivity.endpoint_config(smoke(), 0, RATE, "a"))


@pytest.fixture(scope="module")
def line(program):
    return mode_connectivity.make_line(program, smoke())


@pytest.fixture(scope="module")
def pair(finished, program):
    """Both networks of seed 0, not replicated."""
    return [
        training.single(mode_connectivity.train_endpoint(program, smoke(), finished, 0, RATE, m))
        for m in "ab"
    ]


def replicated(network):
    return Network(*training.replicate(tuple(network)))


def assert_equal(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(np.testing.assert_array_equal, a, b)


# The run


def test_run_directory(finished):
    names = {p.name for p in finished.iterdir() if not p.name.startswith(".")}
    assert names == {
        "config.json",
        "data.json",
        "environment.json",
        "points.jsonl",
        "endpoints",
        "figures",
        "report.html",
        "summary.json",
    }
    assert sorted(p.name for p in (finished / "endpoints").iterdir()) == [
        f"rate={RATE},seed=0",
        f"rate={RATE},seed=1",
    ]
    points = read_points(finished)
    places = [(p["seed"], p["learning_rate"], p["omega"]) for p in points]
    assert places == [(s, RATE, w) for s in (0, 1) for w in (0, 0.25, 0.5, 0.75, 1)]
    for point in points:
        measured = [point[t] for t in mode_connectivity.TREATMENTS]
        assert measured[0].keys() == measured[1].keys() == measured[2].keys()
        wanted = ("accuracy", "loss", "mir_32", "hdr_32", "population_mir", "population_hdr")
        entropies = ("entropy_features", "entropy_head", "entropy_features_32", "entropy_head_32")
        assert {f"test/{name}" for name in wanted + entropies} <= measured[0].keys()


def test_ends_are_the_networks_own_numbers(finished):
    for point in read_points(finished):
        if point["omega"] in (0, 1):
            member = "ab"[int(point["omega"])]
            at = finished / "endpoints" / f"rate={RATE},seed={point['seed']}" / member
            own = {k: v for k, v in training.read_records(at)[-1].items() if k.startswith("test/")}
            assert training.read_records(at)[-1]["step"] == 40
            assert len(own) > 15
            assert point["interpolated"] == own
            assert (point["first"] == own) == (member == "a")


def test_networks_of_a_pair_share_their_start_alone(finished, pair, program):
    at = finished / "endpoints" / f"rate={RATE},seed=0"
    a, b = (training.read_records(at / member) for member in "ab")
    tests = [{k: v for k, v in r.items() if k.startswith("test/")} for r in (a[0], b[0])]
    assert tests[0] == tests[1]
    assert a[1]["test/loss"] != b[1]["test/loss"]
    assert a[-1]["test/accuracy"] > 0.8
    start = classification.init_state(program, smoke(learning_rate=RATE), 0).params
    moved = [np.ravel(x.params["stem"]["kernel"] - start["stem"]["kernel"]) for x in pair]
    assert 0.1 < np.corrcoef(*moved)[0, 1] < 0.99


def test_first_network_is_that_of_a_supervised_run(pair, program, tmp_path):
    config = mode_connectivity.endpoint_config(smoke(), 0, RATE, "a")
    state = supervised.run_seed(program, config, 0, tmp_path)
    assert_equal((state.ema, state.model_state), tuple(pair[0]))


def test_fork_after_shared_steps(pair, program, tmp_path):
    """The first network trains as if alone; the second one departs from it at the fork."""
    config = smoke(fork_step=25)
    a, b = (
        training.single(mode_connectivity.train_endpoint(program, config, tmp_path, 0, RATE, m))
        for m in "ab"
    )
    assert_equal(a, pair[0])
    of = lambda network: np.concatenate([np.ravel(x) for x in jax.tree.leaves(network.params)])  # noqa: E731
    forked, whole = (np.linalg.norm(of(x) - of(y)) for x, y in ((a, b), pair))
    assert 0 < forked < 0.8 * whole
    at = tmp_path / "endpoints" / f"rate={RATE},seed=0"
    shared, own = (training.read_records(at / member) for member in ("trunk", "b"))
    assert [r["step"] for r in shared] == [0, 20, 25]
    assert [r["step"] for r in own] == [25, 40]
    assert own[0]["test/loss"] == shared[-1]["test/loss"]
    again = mode_connectivity.train_endpoint(program, config, tmp_path, 0, RATE, "b")
    assert_equal(training.single(again), b)  # found, though it has no records before the fork


def test_stopped_run_is_resumed_without_training_again(finished, killed, no_training):
    """Killed in the middle of a line, before the second pair."""
    workdir, config = killed(finished, 3), smoke()
    workdirs.prepare(workdir, config)
    mode_connectivity.run(config, workdir)
    assert timeless(read_points(workdir)) == timeless(read_points(finished))
    of_both = [json.loads((d / "summary.json").read_text()) for d in (workdir, finished)]
    assert timeless(of_both)[0] == timeless(of_both)[1]


def test_another_study_takes_the_networks_of_a_run(finished, tmp_path, monkeypatch, no_training):
    monkeypatch.setattr(plots, "draw", lambda *_: [])
    config = smoke(
        num_omegas=3,
        num_seeds=1,
        treatments=("interpolated",),
        endpoints_dir=str(finished / "endpoints"),
    )
    mode_connectivity.run(config, tmp_path)
    first, _, last = read_points(tmp_path)
    before = read_points(finished)
    assert first["interpolated"] == before[0]["interpolated"]
    assert last["interpolated"] == before[4]["interpolated"]
    assert set(first) == {"seed", "learning_rate", "omega", "seconds", "interpolated"}


def test_networks_of_another_architecture_are_refused(finished, tmp_path):
    config = smoke(width=2, endpoints_dir=str(finished / "endpoints"))
    with pytest.raises(
        UserError, match=r"a holds a run of another config \(width: 1 there, 2 here"
    ):
        mode_connectivity.run(config, tmp_path)


# The line


def test_one_compilation_serves_all_points(line, pair, caplog):
    a, b = map(replicated, pair)
    line(a, b, 0.3)
    with jax.log_compiles():
        caplog.clear()
        line(a, b, 0.7)
        assert not [r for r in caplog.records if "ompiling" in r.getMessage()]
        jax.jit(lambda x: x + 17)(jnp.float32(1))  # which does show
        assert [r for r in caplog.records if "ompiling" in r.getMessage()]


def test_between_a_network_and_itself_nothing_changes(line, pair):
    a = replicated(pair[0])
    start = line(a, a, 0.0)
    assert start["interpolated"] == start["first"] != start["recomputed"]
    for omega in (0.3, 0.5, 1.0):
        assert line(a, a, omega) == start


def test_a_permuted_copy_has_a_barrier_and_permuting_back_removes_it(line, pair):
    rng = np.random.default_rng(0)
    sizes = {"stem": 16}
    for i, size in enumerate((16, 32, 64)):
        sizes |= {f"group{i}_block0": size, f"group{i}_block0 inside": size}
    orders = {name: rng.permutation(size) for name, size in sizes.items()}
    a, other = pair[0], permuted(pair[0], orders)

    def errors(b):
        ends = replicated(a), replicated(b)
        found = [line(*ends, omega).values() for omega in (0.0, 0.5, 1.0)]
        return 1 - np.array([[metrics["test/accuracy"] for metrics in row] for row in found]).T

    found = errors(other)
    np.testing.assert_allclose(found[:2, 0], found[:2, -1], atol=0.01)  # the same function
    for treatment in (0, 1):
        assert barrier(found[treatment]) > 0.1
    back = permuted(other, {name: np.argsort(order) for name, order in orders.items()})
    assert_equal(back, jax.tree.map(np.asarray, a))
    assert np.all(barrier(errors(back)) == 0)


def test_recomputed_statistics_are_those_of_the_batches(program, pair):
    """In the first layer, whose inputs no other layer has normalised."""
    config = smoke(recompute_batches=3)
    recompute = mode_connectivity.make_recompute(program, config)
    params, state = replicated(pair[0])
    foreign = jax.tree.map(lambda x: x + 17, state)
    got = training.single(recompute(params, foreign))["batch_stats"]["group0_block0"]["norm1"]
    batches = mode_connectivity.training_batches(program, config)
    images = np.concatenate([np.concatenate(np.asarray(x)) for x in batches])
    assert images.shape == (96, 8, 8, 1) and len(np.unique(images, axis=0)) == 96
    x = (images / 255 - program.data.mean) / program.data.std
    kernel = np.asarray(pair[0].params["stem"]["kernel"])
    layer = lax.conv_general_dilated(
        np.float32(x), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    values = np.asarray(layer, float).reshape(-1, 16)
    np.testing.assert_allclose(got["mean"], values.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(got["var"], values.var(0), rtol=1e-4)
    jax.tree.map(
        lambda x, y: np.testing.assert_array_equal(*(training.single(s) for s in (x, y))),
        recompute(params, foreign),
        recompute(params, state),
    )


# Summary and figures


def test_summary_of_the_run(finished):
    summary = json.loads((finished / "summary.json").read_text())
    points = read_points(finished)
    errors = np.array([1 - p["recomputed"]["test/accuracy"] for p in points]).reshape(2, 5)
    expected = errors.max(1) - (errors[:, 0] + errors[:, -1]) / 2
    found = summary["results"][str(RATE)]["recomputed"]["error_barrier"]
    np.testing.assert_allclose(found["by_pair"], expected, atol=1e-6)
    np.testing.assert_allclose(found["std"], np.std(expected, ddof=1), atol=1e-6)
    assert summary["seconds"]["measuring"] == pytest.approx(sum(p["seconds"] for p in points))
    assert summary["seconds"]["training"] > 0
    assert set(summary["results"][str(RATE)]) == set(mode_connectivity.TREATMENTS)


def test_figures_show_the_points(finished):
    drawn = mode_connectivity.figures([runs.load_run(finished)])
    assert set(drawn) == {"mode_connectivity", "mode_connectivity_details"}
    points = read_points(finished)
    axis = drawn["mode_connectivity"].axes[0]
    for line, treatment in zip(axis.lines, mode_connectivity.TREATMENTS, strict=True):
        values = np.array([p[treatment]["test/accuracy"] for p in points]).reshape(2, 5)
        np.testing.assert_allclose(line.get_ydata(), values.mean(0))
        np.testing.assert_allclose(line.get_xdata(), [0, 0.25, 0.5, 0.75, 1])
    assert len({(x.get_color(), x.get_linestyle()) for x in axis.lines}) == 3
    plt.close("all")
    for name in drawn:
        assert (finished / "figures" / f"{name}.png").stat().st_size > 20_000


@pytest.mark.parametrize("variant", ["cpu", "paper", "paper_cifar100", "smoke"])
def test_variants(variant):
    config = configs.get_config(variant)
    mode_connectivity.check(config)
    assert "learning_rate" not in config
