"""Statistics and interplay of whole data sets, against float64 NumPy from the definitions."""

import functools
import itertools
import math
import os
import subprocess
import sys

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import reference
from jax.sharding import PartitionSpec as P

import infojax
from infojax import collapse, moments, population, spectrum
from infojax.population import Statistics

FIELDS = infojax.Interplay._fields


def problem(n=400, d=7, c=5, seed=0, offset=0.5):
    """Unbalanced classes of unequal spread."""
    rng = np.random.default_rng(seed)
    y = np.minimum(rng.integers(0, c, n), rng.integers(0, c, n))
    means = rng.normal(size=(c, d))
    z = offset + means[y] + rng.normal(size=(n, d)) * (0.2 + y[:, None] / c)
    return z.astype(np.float32), y, (means + rng.normal(size=(c, d))).astype(np.float32)


def collected(z, y, c, dtype=jnp.float32):
    return Statistics.zeros(c, z.shape[1], dtype).update(jnp.asarray(z, dtype), jnp.asarray(y))


def defined_statistics(z, y, c):
    """counts, moments, sums and scatter."""
    z = np.asarray(z, np.float64)
    z_hat = reference.unit_rows(z)
    rows = [z[y == k] for k in range(c)]
    centred = [x - x.mean(0) for x in rows if len(x)]
    return (
        np.bincount(y, minlength=c),
        np.stack([z_hat[y == k].T @ z_hat[y == k] for k in range(c)]),
        np.stack([x.sum(0) for x in rows]),
        sum(x.T @ x for x in centred),
    )


def assert_statistics(got, expected, rtol=1e-6):
    np.testing.assert_array_equal(got.counts, expected[0])
    for x, want in zip((got.moments, got.sums, got.scatter), expected[1:], strict=True):
        np.testing.assert_allclose(x, want, atol=rtol * np.max(np.abs(want)))


def values(result):
    return [getattr(result, name) for name in FIELDS]


# Statistics


@pytest.mark.parametrize(("n", "c"), [(1, 1), (5, 8), (400, 5), (3000, 2)])
def test_update(n, c):
    z, y, _ = problem(n, c=c)
    assert_statistics(collected(z, y, c), defined_statistics(z, y, c))


def test_update_in_float64(x64):
    z, y, _ = problem()
    got = collected(z, y, 5, jnp.float64)
    assert got.moments.dtype == got.scatter.dtype == jnp.float64
    assert_statistics(got, defined_statistics(z, y, 5), 1e-13)


def test_masked_samples_do_not_count_whatever_they_hold():
    z, y, _ = problem()
    mask = np.arange(len(y)) % 3 > 0
    expected = defined_statistics(z[mask], y[mask], 5)
    z, y = np.where(mask[:, None], z, np.nan), np.where(mask, y, -1)
    zeros = Statistics.zeros(5, 7)
    assert_statistics(zeros.update(z, jnp.asarray(y), jnp.asarray(mask)), expected)
    assert_statistics(jax.jit(Statistics.update)(zeros, z, y, mask), expected)
    none = zeros.update(z, jnp.asarray(y), jnp.zeros(len(y), bool))
    assert_statistics(none, jax.tree.map(np.zeros_like, expected))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_is_widened(dtype):
    z, y, _ = problem()
    z = jnp.asarray(z, dtype)
    expected = defined_statistics(np.asarray(z, np.float32), y, 5)
    assert_statistics(Statistics.zeros(5, 7, jnp.float32).update(z, jnp.asarray(y)), expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64])
def test_labels_of_any_width(dtype):
    z, y, _ = problem()
    got = Statistics.zeros(300, 7).update(jnp.asarray(z), jnp.asarray(y.astype(dtype)))
    assert_statistics(got, defined_statistics(z, y, 300))


def test_a_million_samples_keep_their_digits():
    """Nearly equal samples: each addition rounds the same way, a plain sum loses four digits."""
    n, steps, d = 1_000_000, 2000, 4
    rng = np.random.default_rng(0)
    z = (1 / 3 + 1e-3 * rng.normal(size=(n, d))).astype(np.float32)
    y = (np.arange(n) % 2).astype(np.int32)

    @jax.jit
    def collect(z, y):
        def add(s, batch):
            x = moments.unit_rows(batch[0])
            return (s[0].update(*batch), s[1] + x.T @ x), None

        start = Statistics.zeros(2, d, jnp.float32), jnp.zeros((d, d), jnp.float32)
        return jax.lax.scan(add, start, (z.reshape(steps, -1, d), y.reshape(steps, -1)))[0]

    got, plain = collect(z, y)
    expected = defined_statistics(z, y, 2)
    assert_statistics(got, expected, 3e-7)
    total = expected[1].sum(0)
    plain_error = np.max(np.abs(plain - total)) / np.max(total)
    error = np.max(np.abs(got.moments.sum(0) - total)) / np.max(total)
    assert error < 0.1 * plain_error


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(st.permutations(range(6)), st.lists(st.integers(0, 120), min_size=5, max_size=5))
def test_merging_any_partition_in_any_order(order, cuts):
    z, y, w = _partitioned()
    edges = [0, *sorted(cuts), 120]
    padded = [_part(lo, hi) for lo, hi in itertools.pairwise(edges)]
    merged = functools.reduce(Statistics.merge, [padded[i] for i in order])
    assert_statistics(merged, defined_statistics(z, y, 3), 2e-6)
    whole = population.interplay(collected(z, y, 3), w)
    np.testing.assert_allclose(values(population.interplay(merged, w)), values(whole), atol=3e-5)


@functools.cache
def _partitioned():
    return problem(120, 4, 3, offset=5.0)


def _part(lo, hi):
    z, y, _ = _partitioned()
    index = np.arange(len(y))
    mask = jnp.asarray((index >= lo) & (index < hi))
    return Statistics.zeros(3, 4).update(jnp.asarray(z), jnp.asarray(y), mask)


def test_statistics_are_a_pytree():
    z, y, _ = problem()
    s = collected(z, y, 5)
    leaves, structure = jax.tree.flatten(s)
    assert_statistics(jax.tree.unflatten(structure, leaves), defined_statistics(z, y, 5))


def check_devices():
    """The psum form by pmap and by shard_map, against one device."""
    k = jax.device_count()
    z, y, w = problem(50 * k, offset=5.0)
    z, y = jnp.asarray(z), jnp.asarray(y.astype(np.int32))
    expected = defined_statistics(np.asarray(z), np.asarray(y), 5)
    whole = values(population.interplay(collected(z, y, 5), w))

    def collect(z, y):
        return Statistics.zeros(5, 7).update(z, y).psum("devices")

    mapped = jax.pmap(collect, axis_name="devices")(z.reshape(k, 50, 7), y.reshape(k, 50))
    found = [jax.tree.map(lambda x: x[-1], mapped)]
    mesh = jax.sharding.Mesh(jax.devices(), ("devices",))
    for check_vma in (True, False):
        sharded = jax.shard_map(
            collect, mesh=mesh, in_specs=P("devices"), out_specs=P(), check_vma=check_vma
        )
        found.append(jax.jit(sharded)(z, y))
    for got in found:
        assert_statistics(jax.device_get(got), expected)
        got = jax.tree.map(jnp.asarray, jax.device_get(got))
        # Information is a difference of entropies and has their absolute error.
        close = {"rtol": 1e-5, "atol": 1e-5}
        np.testing.assert_allclose(values(population.interplay(got, w)), whole, **close)
    print("devices agree")


def test_psum_on_these_devices():
    assert jax.device_count() == 2
    check_devices()


def test_psum_on_eight_devices():
    environment = dict(os.environ)
    environment["XLA_FLAGS"] = environment["XLA_FLAGS"].replace("count=2", "count=8")
    code = "import jax, test_population as t; assert jax.device_count() == 8; t.check_devices()"
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *sys.path])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert "devices agree" in run.stdout, run.stderr


def test_labels_out_of_range():
    z, y, w = problem()
    y[3] = 5
    zeros = Statistics.zeros(5, 7)
    with pytest.raises(ValueError, match=r"y must hold labels in \[0, 5\), got 0 to 5"):
        zeros.update(z, y)
    y[3] = -1
    with pytest.raises(ValueError, match="labels"):
        zeros.update(z, y)
    s = jax.jit(Statistics.update)(zeros, z, y)
    assert_every_number_is_nan(s, w)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_bad_features_poison_every_number(bad):
    z, y, w = problem()
    z[17, 2] = bad
    assert_every_number_is_nan(collected(z, y, 5), w)


def assert_every_number_is_nan(s, w):
    numbers = (
        values(population.interplay(s, w)),
        population.interplay(s, w).standard_error,
        population.class_interplay(s, w),
        population.within_class_entropies(s),
        population.class_mean_entropy(s),
        population.effective_rank(s),
        collapse.neural_collapse(s, w),
    )
    assert all(np.all(np.isnan(x)) for x in jax.tree.leaves(numbers))


def test_no_samples_give_no_numbers():
    assert_every_number_is_nan(Statistics.zeros(5, 7), jnp.ones((5, 7)))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.update(jnp.ones((4, 3)), jnp.zeros(4, int)), "z must have 7 columns"),
        (lambda s: s.update(jnp.ones((4, 7)), jnp.zeros(3, int)), "y must be integer"),
        (lambda s: s.update(jnp.ones((4, 7)), jnp.zeros(4)), "y must be integer"),
        (lambda s: s.update(jnp.ones((1, 7)), jnp.zeros(1, int), jnp.ones(1)), "mask must be bool"),
        (lambda s: s.merge(Statistics.zeros(5, 6)), "must agree in classes and features"),
        (lambda s: Statistics.zeros(0, 6), "c >= 1"),
        (lambda s: Statistics.zeros(2, 6, jnp.float16), "float32 or float64"),
        (lambda s: population.interplay(s, jnp.ones((5, 6))), r"w must have shape \(5, 7\)"),
        (lambda s: population.interplay(s, jnp.ones((5, 7)), rtol=-1.0), "rtol >= 0"),
        (lambda s: population.interplay(s, jnp.ones((5, 7)), 0.0), "alpha must be positive"),
    ],
)
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call(Statistics.zeros(5, 7))


# Interplay


@pytest.mark.parametrize("alpha", [0.5, 1.0, 1.3, 2.0, 3.0, math.inf])
@pytest.mark.parametrize(("n", "d", "c"), [(400, 7, 5), (300, 4, 9), (6, 7, 5)])
def test_interplay_is_that_of_the_definitions(n, d, c, alpha):
    z, y, w = problem(n, d, c)
    expected = reference.sample_interplay(z, y, w, alpha)
    got = population.interplay(collected(z, y, c), w, alpha)
    assert got.route == ("closed form" if alpha == 2 else "moments")
    assert all(e == 0 for e in got.standard_error) and got.probes == 0
    tolerance = 1e-3 if alpha < 1 and n < d * c else 2e-5  # null eigenvalues, at a steep power
    np.testing.assert_allclose(values(got), expected, rtol=tolerance, atol=1e-5)
    got = population.interplay_of_features(z, y, w, alpha)
    assert got.route == ("gram" if n < 10 else "moments")
    np.testing.assert_allclose(values(got), expected, rtol=tolerance, atol=1e-5)


def test_interplay_in_float64_under_jit(x64):
    z, y, w = problem()
    w = np.asarray(w, np.float64)
    got = jax.jit(population.interplay)(collected(z, y, 5, jnp.float64), w)
    assert got.route == "moments"
    np.testing.assert_allclose(values(got), reference.sample_interplay(z, y, w), rtol=1e-12)


def test_class_interplay_is_that_of_the_definitions():
    z, y, w = problem()
    got = population.class_interplay(collected(z, y, 5), w)
    np.testing.assert_allclose(got, reference.class_interplay(z, y, w), rtol=2e-5)
    y = np.where(y == 2, 1, y)  # a class without samples
    got = population.class_interplay(collected(z, y, 5), w)
    np.testing.assert_allclose(got, reference.class_interplay(z, y, w), rtol=2e-5)


def test_values_at_collapse():
    etf = collapse.simplex_etf(6, 9)
    y = np.tile(np.arange(6), 50)
    s = collected(4 * etf[y], y, 6)
    for got in (population.interplay(s, etf), population.class_interplay(s, etf)):
        np.testing.assert_allclose(got.mir, collapse.mir_at_collapse(6), rtol=1e-5)
        np.testing.assert_allclose(got.hdr, 0, atol=1e-5)
    np.testing.assert_allclose(population.effective_rank(s), 5, rtol=1e-5)
    np.testing.assert_allclose(population.within_class_entropies(s), 0, atol=1e-4)


def test_entropies_within_and_between_classes():
    z, y, _ = problem()
    y = np.where(y == 3, 0, y)
    s = collected(z, y, 5)
    for alpha in (1.0, 2.0):
        expected = [reference.entropy(reference.gram(z[y == k]), alpha) for k in (0, 1, 2, 4)]
        got = population.within_class_entropies(s, alpha)
        np.testing.assert_allclose(got, np.insert(expected, 3, 0.0), rtol=1e-5, atol=1e-6)
        means = np.stack([z[y == k].mean(0) for k in (0, 1, 2, 4)])
        expected = reference.entropy(reference.gram(means), alpha)
        np.testing.assert_allclose(population.class_mean_entropy(s, alpha), expected, rtol=1e-5)
    expected = np.exp(reference.entropy(reference.gram(z)))
    np.testing.assert_allclose(population.effective_rank(s), expected, rtol=1e-5)


def test_degenerate_data_gives_finite_numbers():
    z, y, w = problem()
    zero_rows, zero_head = z.copy(), w.copy()
    zero_rows[::3], zero_head[1] = 0, 0
    cases = {
        "one class": (z, np.zeros_like(y), w[:1]),
        "all samples in one class": (z, np.full_like(y, 3), w),
        "zero feature rows": (zero_rows, y, w),
        "zero head row": (z, y, zero_head),
        "one sample": (z[:1], y[:1], w),
        "no feature direction": (np.zeros_like(z), y, w),
    }
    for name, (z, y, w) in cases.items():
        s = collected(z, y, len(w))
        got = (population.interplay(s, w), population.class_interplay(s, w))
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(got)), name
        expected = infojax.sample_interplay(z, y, w)
        np.testing.assert_allclose(values(got[0]), expected, rtol=1e-4, atol=2e-5, err_msg=name)


def test_gradient_by_the_head_is_that_of_the_batch_form():
    z, y, w = problem()
    s = collected(z, y, 5)
    got = jax.grad(lambda w: population.interplay(s, w).mir)(w)
    expected = jax.grad(lambda w: infojax.sample_interplay(z, y, w).mir)(w)
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert np.max(np.abs(got)) > 1e-3


# Estimates


@pytest.fixture
def small_limits(monkeypatch):
    """Sends problems of test size down the routes for large ones.

    The limits are read when a function is traced: no test may meet another's compiled functions,
    so each of them jits a function of its own.
    """
    monkeypatch.setattr(population, "_DENSE", 0)
    return monkeypatch


@pytest.mark.parametrize("alpha", [0.7, 1.0, 3.0, math.inf])
def test_estimates_lie_within_their_errors(alpha, small_limits):
    z, y, w = problem(2000, 20, 12)
    exact = infojax.sample_interplay(z, y, w, alpha)
    s = collected(z, y, 12)
    got = jax.jit(lambda s, w, key: population.interplay(s, w, alpha, key=key))(
        s, w, jax.random.key(1)
    )
    error = got.standard_error
    assert got.route == "lanczos" and (got.probes > 0) == (alpha != math.inf)
    assert 0 < error.mutual_information <= 1e-3 * exact.mutual_information
    relative = error.joint_entropy / got.mutual_information
    np.testing.assert_allclose(error.mir / got.mir, relative, rtol=1e-6)  # two roundings
    assert error.entropy_z == error.entropy_v == error.hdr == 0
    np.testing.assert_allclose(got.joint_entropy, exact.joint_entropy, atol=3 * error.joint_entropy)
    np.testing.assert_allclose(got.mir, exact.mir, atol=3 * error.mir)


def test_estimate_under_jit_and_its_tolerance(small_limits):
    z, y, w = problem(2000, 20, 12)
    s = collected(z, y, 12)
    run = jax.jit(functools.partial(population.interplay, rtol=1e-5, max_probes=60))
    got = run(s, w, key=jax.random.key(0))
    assert got.route == "lanczos" and got.probes == 64  # the budget, to whole batches
    assert got.standard_error.mir > 1e-5 * got.mir
    with pytest.raises(ValueError, match="max_probes >= 1"):
        population.interplay(s, w, max_probes=0)
    assert population.interplay(s, w, rtol=0.0).route == "moments"


def test_estimate_at_collapse(small_limits):
    etf = collapse.simplex_etf(12, 20)
    y = np.tile(np.arange(12), 50)
    got = jax.jit(lambda s: population.interplay(s, etf))(collected(etf[y], y, 12))
    np.testing.assert_allclose(got.mir, collapse.mir_at_collapse(12), rtol=1e-4)
    assert got.standard_error.mir < 1e-3


def test_estimate_from_features_without_moments(small_limits):
    z, y, w = problem(600, 20, 12)
    exact = infojax.sample_interplay(z, y, w)
    got = jax.jit(lambda *zyw: population.interplay_of_features(*zyw))(z, y, w)
    assert got.route == "lanczos"
    np.testing.assert_allclose(got.mir, exact.mir, atol=3 * got.standard_error.mir)
    small_limits.setattr(population, "_MOMENTS", 0)
    run = jax.jit(functools.partial(population.interplay_of_features, rtol=3e-3))
    got = run(z, y, w)
    assert got.route == "lanczos" and 0 < got.standard_error.mir <= 3e-3 * got.mir
    np.testing.assert_allclose(got.mir, exact.mir, atol=3 * got.standard_error.mir)
    y[4] = 12
    bad = run(z, y, w)
    assert all(np.isnan(x) for x in values(bad))


def test_sizes_beyond_lapack():
    s = jax.eval_shape(lambda: Statistics.zeros(200, 200, jnp.float32))
    w = jax.ShapeDtypeStruct((200, 200), jnp.float32)
    exact = functools.partial(population.interplay, rtol=0.0)
    with pytest.raises(ValueError, match="end at 32,766 rows and d min"):
        jax.eval_shape(exact, s, w)
    assert jax.eval_shape(functools.partial(exact, alpha=2.0), s, w).route == "closed form"
    assert jax.eval_shape(population.interplay, s, w).route == "lanczos"


def test_order_two_needs_no_eigenvalues(monkeypatch):
    z, y, w = problem(300, 9, 6)
    s = collected(z, y, 6)
    monkeypatch.setattr(spectrum, "eigenvalues", None)
    got = population.interplay(s, w, 2.0)
    population.class_interplay(s, w, 2.0)
    np.testing.assert_allclose(values(got), reference.sample_interplay(z, y, w, 2.0), rtol=1e-5)


# Rank bound


def test_rank_bound_bounds_the_least_squares_error():
    rng = np.random.default_rng(0)
    for r1, r2, shared in [(6, 4, 0), (6, 4, 4), (3, 5, 1), (5, 5, 5)]:
        z1 = rng.normal(size=(40, r1)) @ rng.normal(size=(r1, 8))
        inside = z1[:, :shared] if shared else np.zeros((40, 0))
        z2 = np.concatenate([inside, rng.normal(size=(40, r2 - shared))], 1)
        basis = np.linalg.svd(z1, full_matrices=False)[0][:, :r1]
        targets = basis @ (lambda h: h / np.linalg.norm(h, axis=0))(rng.normal(size=(r1, 4000)))
        residual = targets - z2 @ np.linalg.lstsq(z2, targets, rcond=None)[0]
        error = np.mean(np.sum(residual**2, 0))
        bound = float(population.rank_bound(jnp.array(float(r1)), jnp.array(float(r2))))
        np.testing.assert_allclose(bound, max(0, 1 - r2 / r1), rtol=1e-6)
        assert error >= bound - 0.02
        if shared == min(r1, r2):  # attained where Z2 lies inside Z1
            np.testing.assert_allclose(error, bound, atol=0.02)
