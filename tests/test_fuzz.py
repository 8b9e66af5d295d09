"""Random inputs of every kind: a function agrees with float64, or refuses in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from jax.sharding import NamedSharding, PartitionSpec as P

import infojax
from infojax import losses, population
from tests import reference

SIZES = ((1, 1), (3, 2), (8, 5), (3, 30))  # features d, classes C
KINDS = ("normal", "duplicates", "one-hot", "zero row", "collapsed")
DTYPES = (jnp.float32, jnp.float16, jnp.bfloat16)
LAYOUTS = ("one device", "explicit mesh", "tokens")
FUNCTIONS = {
    "feature_entropy": lambda z, y, w, v, mask: infojax.feature_entropy(z, mask=mask),
    "interplay": lambda z, y, w, v, mask: infojax.interplay(z, v, mask=mask),
    "sample_interplay": lambda z, y, w, v, mask: infojax.sample_interplay(z, y, w, mask=mask),
    "class_interplay": lambda z, y, w, v, mask: infojax.class_interplay(z, y, w, mask=mask),
    "interplay_of_features": lambda z, y, w, v, mask: population.interplay_of_features(
        z, y, w, mask=mask
    ),
    "information_loss": lambda z, y, w, v, mask: losses.information_loss(z, v, 1.0, 0.5, mask=mask),
}
_COMPILED = {name: jax.jit(function) for name, function in FUNCTIONS.items()}


@st.composite
def cases(draw):
    """Features, labels, head, mask and how they are laid out, from a seed."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, (d, c) = draw(st.sampled_from((2, 6, 24))), draw(st.sampled_from(SIZES))
    kind, layout = draw(st.sampled_from(KINDS)), draw(st.sampled_from(LAYOUTS))
    dtype = draw(st.sampled_from(DTYPES))
    exponents = st.integers(-30, 30) if dtype != jnp.float16 else st.integers(-1, 2)
    y, w = rng.integers(0, c, n).astype(np.int32), rng.normal(size=(c, d))
    z = {
        "normal": lambda: rng.normal(size=(n, d)),
        "duplicates": lambda: rng.normal(size=(2, d))[np.arange(n) % 2],
        "one-hot": lambda: np.eye(d)[rng.integers(0, d, n)],
        "zero row": lambda: rng.normal(size=(n, d)) * (np.arange(n) > 0)[:, None],
        "collapsed": lambda: w[y],
    }[kind]()
    z = jnp.asarray(z * 10.0 ** draw(exponents), jnp.float32).astype(dtype)
    w = jnp.asarray(w * 10.0 ** draw(exponents), jnp.float32).astype(dtype)
    mask = None
    if draw(st.booleans()):
        mask = rng.random(n) < 0.7
        mask[0] = True
        z, y = z.at[~mask].set(jnp.nan), np.where(mask, y, -100)
    return z, y.astype(np.int32), w, mask, layout


def laid_out(z, y, w, mask, layout):
    """The arguments, and the head rows of the labels, on one device, on a mesh, or as sequences."""
    v = w[np.maximum(y, 0)]
    if layout == "tokens":
        tokens = (2, len(y) // 2)
        mask = None if mask is None else mask.reshape(tokens)
        z, v = (x.reshape(*tokens, -1) for x in (z, v))
        return z, y.reshape(tokens), w, v, mask
    if layout == "explicit mesh":
        mesh = jax.make_mesh((2,), ("data",))
        rows, everywhere = NamedSharding(mesh, P("data")), NamedSharding(mesh, P())
        mask = None if mask is None else jax.device_put(mask, rows)
        z, y, v = (jax.device_put(x, rows) for x in (z, y, v))
        return z, y, jax.device_put(w, everywhere), v, mask
    return z, jnp.asarray(y), w, v, mask


def expected(name, z, y, w, mask):
    """Entropies of features, head and joint matrix; or one number."""
    kept = np.ones(len(y), bool) if mask is None else mask
    z, y, w = (np.asarray(x, np.float64) for x in (z, y, w))
    z, y = z[kept], y[kept].astype(int)
    z, w = (x / max(np.abs(x).max(), 1e-300) for x in (z, w))
    with np.errstate(all="ignore"):
        if name == "feature_entropy":
            return [reference.entropy(reference.gram(z))] if np.any(z) else [0.0]
        if name == "information_loss":
            return [reference.information_loss(z, w[y], 1.0, 0.5)] if np.any(z) else [0.0]
        whole = reference.class_interplay if name == "class_interplay" else None
        found = whole(z, y, w) if whole else reference.sample_interplay(z, y, w)
    return list(found[:3])


def has_null_mean(z, y, mask):
    """Whether the mean of a class is that of all samples up to rounding."""
    kept = np.ones(len(y), bool) if mask is None else mask
    z, y = np.asarray(z, np.float64)[kept], np.asarray(y)[kept]
    means = np.stack([z[y == c].mean(0) for c in np.unique(y)]) - z.mean(0)
    return bool(np.any(np.linalg.norm(means, axis=1) < 1e-6 * np.linalg.norm(z, axis=1).max()))


def check(name, case):
    z, y, w, mask, layout = case
    arguments = laid_out(z, y, w, mask, layout)
    if layout == "tokens" and name == "feature_entropy" and mask is None:  # or matrices?
        with pytest.raises(ValueError, match=r"^[^\n]*reshape[^\n]*$"):
            FUNCTIONS[name](*arguments)
        return
    result = _COMPILED[name](*arguments)
    got = [float(x) for x in jax.tree.leaves(result)[:3]] if name != "feature_entropy" else None
    got = [float(result)] if got is None or not hasattr(result, "mir") else got
    want = expected(name, z, y, w, mask)
    if name == "class_interplay" and (not np.all(np.isfinite(want)) or has_null_mean(z, y, mask)):
        want = got  # one class, or a mean whose direction is rounding: nothing to compare with
    np.testing.assert_allclose(got, want, atol=2e-4)


def _fuzz(examples):
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    return settings(max_examples=examples, deadline=None, suppress_health_check=quiet)


@pytest.mark.parametrize("name", FUNCTIONS)
@_fuzz(15)
@given(case=cases())
def test_agrees_with_float64(name, case):
    check(name, case)


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
@_fuzz(500)
@given(case=cases())
def test_agrees_with_float64_in_thousands_of_cases(name, case):
    check(name, case)


BAD = {
    "features of integers": lambda z, y, w: (z.astype(jnp.int32), y, w),
    "complex features": lambda z, y, w: (z.astype(jnp.complex64), y, w),
    "one vector": lambda z, y, w: (z[0], y, w),
    "no samples": lambda z, y, w: (z[:0], y[:0], w),
    "labels of other length": lambda z, y, w: (z, y[:-1], w),
    "labels of floats": lambda z, y, w: (z, y.astype(jnp.float32), w),
    "head of other width": lambda z, y, w: (z, y, w[:, :-1]),
    "head of other dtype": lambda z, y, w: (z, y, np.asarray(w, np.int32)),
    "head as a vector": lambda z, y, w: (z, y, w[0]),
    "strings": lambda z, y, w: (np.full(z.shape, "a"), y, w),
    "objects": lambda z, y, w: (np.full(z.shape, None), y, w),
    "masked array": lambda z, y, w: (np.ma.masked_less(np.asarray(z), 0), y, w),
}


@pytest.mark.parametrize("how", BAD)
@pytest.mark.parametrize("name", ["sample_interplay", "class_interplay", "interplay_of_features"])
def test_what_cannot_be_measured_is_refused_in_one_line(name, how):
    rng = np.random.default_rng(0)
    z, w = jnp.asarray(rng.normal(size=(6, 3)), jnp.float32), jnp.ones((4, 3), jnp.float32)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        FUNCTIONS[name](*BAD[how](z, jnp.arange(6) % 4, w), w, None)
