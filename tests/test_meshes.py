"""Arrays sharded over the samples, on explicit and automatic meshes, equal one device."""

import contextlib
import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P

import infojax
from infojax import losses
from infojax.methods import freematch

N, D, C = 16, 3, 4
AXES = {"explicit": AxisType.Explicit, "auto": AxisType.Auto}
SAMPLES = ("z", "y", "v", "mask", "grams")  # the arguments that are sharded


@functools.cache
def mesh(kind="explicit"):
    return jax.make_mesh((2,), ("data",), axis_types=(AXES[kind],))


@functools.cache
def arrays():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(6, 5, 5))
    found = {
        "z": rng.normal(size=(N, D)),
        "v": rng.normal(size=(N, 5)),
        "w": rng.normal(size=(C, D)),
        "head": rng.normal(size=(2 * N, D)),  # more classes than samples
        "grams": x @ x.swapaxes(1, 2),
    }
    found = {name: x.astype(np.float32) for name, x in found.items()}
    return found | {"y": np.arange(N) % C, "mask": np.arange(N) % 5 != 2}


def placed(name, kind):
    """The argument on the mesh, or on one device."""
    x = jnp.asarray(arrays()[name])
    if kind is None:
        return x
    return jax.device_put(x, NamedSharding(mesh(kind), P("data") if name in SAMPLES else P()))


def cross_modal(variant):
    return lambda z, w, y: losses.cross_modal_alignment(z, w, y, variant)


# Each function and its arguments; the gradient is by those before the stroke.
CASES = {
    "gram": (lambda z: infojax.gram(z), "z |"),
    "matrix_entropy": (infojax.matrix_entropy, "grams |"),
    "mutual_information": (lambda k: infojax.mutual_information(k, k * k), "grams |"),
    "mir": (lambda k: infojax.mir(k, k * k), "grams |"),
    "hdr": (lambda k: infojax.hdr(k, k * k, 0.7), "grams |"),
    "feature_entropy": (infojax.feature_entropy, "z |"),
    "masked feature_entropy": (lambda z, m: infojax.feature_entropy(z, mask=m), "z | mask"),
    "effective_rank": (infojax.effective_rank, "z |"),
    "interplay": (infojax.interplay, "z v |"),
    "sample_interplay": (lambda z, w, y: infojax.sample_interplay(z, y, w), "z w | y"),
    "sample_interplay by class": (
        lambda z, w, y: infojax.sample_interplay(z[:, :2], y, w[:, :2]),
        "z w | y",
    ),
    "sample_interplay, C > n": (lambda z, w, y: infojax.sample_interplay(z, y, w), "z head | y"),
    "class_interplay": (
        lambda z, w, y, m: infojax.class_interplay(z, y, w, mask=m),
        "z w | y mask",
    ),
    "class_interplay, C > n": (lambda z, w, y: infojax.class_interplay(z, y, w), "z head | y"),
    "information_loss": (
        lambda z, v, m: losses.information_loss(z, v, 0.7, 0.3, mask=m),
        "z v | mask",
    ),
    "global_interplay": (losses.global_interplay, "z v |"),
    "FreeMatch": (lambda q: freematch.update(freematch.init(D), q)[:2], "z |"),
    "FixMatch": (lambda q: freematch.fixed_threshold(freematch.init(D), q)[1], "z |"),
    "unsupervised_loss": (
        lambda x, y: freematch.unsupervised_loss(x, y % D, x[:, 0] * 0 + 1),
        "z | y",
    ),
    "fairness_loss": (
        lambda x: freematch.fairness_loss(freematch.init(D), x, x[:, 0] * 0 + 1),
        "z |",
    ),
    "cross_modal_alignment": (cross_modal("classwise"), "z w | y"),
    "cross_modal_alignment modal": (cross_modal("modal"), "z w | y"),
    "cross_modal_alignment all": (cross_modal("all"), "z w | y"),
}


def problem(case, kind=None):
    """A function and its gradient, and the arguments on a mesh or on one device."""
    f, names = CASES[case]
    by, others = (part.split() for part in names.split("|"))

    def weighted(*args):
        return sum(k * jnp.sum(x) for k, x in enumerate(jax.tree.leaves(f(*args)), 1))

    gradient = jax.grad(weighted, tuple(range(len(by))))
    return f, gradient, [placed(name, kind) for name in by + others]


def both(f, gradient):
    """One program for the value and the gradient."""
    return jax.jit(lambda *args: (f(*args), gradient(*args)))


@functools.cache
def expected(case):
    f, gradient, args = problem(case)
    value, slopes = both(f, gradient)(*args)
    return jax.tree.leaves(value), slopes


def assert_close(got, want):
    for x, y in zip(jax.tree.leaves(got), want, strict=True):
        np.testing.assert_allclose(x, y, atol=1e-5 * max(1, np.max(np.abs(y))))


def assert_replicated(value):
    for x in jax.tree.leaves(value):
        assert x.sharding.is_fully_replicated and len(x.sharding.device_set) == 2


def assert_sharded_as(slopes, args):
    for x, y in zip(slopes, args, strict=False):
        assert x.sharding.is_equivalent_to(y.sharding, x.ndim)


@pytest.mark.parametrize("with_set_mesh", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("case", CASES)
def test_explicit_mesh_under_jit(case, with_set_mesh):
    """Values are replicated, and gradients sharded as the arguments."""
    f, gradient, args = problem(case, "explicit")
    with jax.set_mesh(mesh()) if with_set_mesh else contextlib.nullcontext():
        value, slopes = both(f, gradient)(*args)
    assert_close(value, expected(case)[0])
    assert_close(slopes, expected(case)[1])
    assert_replicated(value)
    assert_sharded_as(slopes, args)


@pytest.mark.parametrize("with_set_mesh", [pytest.param(False, marks=pytest.mark.slow), True])
@pytest.mark.parametrize("case", CASES)
def test_explicit_mesh_eagerly(case, with_set_mesh):
    """JAX itself needs `set_mesh` for the eager gradient of `jnp.sum(z**2)`."""
    f, gradient, args = problem(case, "explicit")
    with jax.set_mesh(mesh()) if with_set_mesh else contextlib.nullcontext():
        value = f(*args)
        slopes = gradient(*args) if with_set_mesh else None
    assert_close(value, expected(case)[0])
    assert_replicated(value)
    if slopes is not None:
        assert_close(slopes, expected(case)[1])
        assert_sharded_as(slopes, args)


@pytest.mark.parametrize("case", ["interplay", "sample_interplay", "class_interplay"])
def test_automatic_mesh(case):
    f, gradient, args = problem(case, "auto")
    value, slopes = both(f, gradient)(*args)
    assert_close(value, expected(case)[0])
    assert_close(slopes, expected(case)[1])
    assert_close(f(*args), expected(case)[0])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_mapped_functions_see_the_samples_of_their_device(case):
    """Under pmap, and under shard_map with either check_vma."""
    f, gradient, args = problem(case)
    names = CASES[case][1].replace("|", "").split()
    by_first = lambda *args: (f(*args), gradient(*args)[0])  # noqa: E731
    in_two = [x.reshape(2, -1, *x.shape[1:]) for x in args]
    axes = tuple(0 if name in SAMPLES else None for name in names)
    pairs = [
        pair if axis == 0 else (x, x) for x, pair, axis in zip(args, in_two, axes, strict=True)
    ]
    halves = [jax.tree.leaves(jax.jit(by_first)(*half)) for half in zip(*pairs, strict=True)]
    want = [np.stack(pair) for pair in zip(*halves, strict=True)]
    stacked = [pair if axis == 0 else x for x, pair, axis in zip(args, in_two, axes, strict=True)]
    assert_close(jax.pmap(by_first, "data", in_axes=axes)(*stacked), want)
    for check_vma in (True, False):
        mapped = jax.shard_map(
            lambda *args: jax.tree.map(lambda x: x[None], by_first(*args)),
            mesh=mesh("auto"),
            in_specs=tuple(P("data") if axis == 0 else P() for axis in axes),
            out_specs=P("data"),
            check_vma=check_vma,
        )
        assert_close(jax.jit(mapped)(*args), want)


def test_other_transformations():
    z, w, y = (placed(name, "explicit") for name in ("z", "w", "y"))
    f = lambda z: infojax.sample_interplay(z, y, w).mir  # noqa: E731
    one = lambda z: infojax.sample_interplay(z, np.asarray(y), np.asarray(w)).mir  # noqa: E731
    alone, v = np.asarray(z), np.ones_like(z)
    along = jax.jit(lambda z, v: jax.jvp(jax.grad(f), (z,), (v,)))(z, jnp.ones_like(z))
    want = jax.jit(lambda z, v: jax.jvp(jax.grad(one), (z,), (v,)))(alone, v)
    for x, expected in zip(along, want, strict=True):
        np.testing.assert_allclose(x, expected, atol=1e-5)
    stack = jnp.stack([z, 2 * z[::-1]])
    np.testing.assert_allclose(jax.jit(jax.vmap(f))(stack), [f(z), f(2 * z[::-1])], atol=1e-5)
    head = np.asarray(w)  # on no device yet
    np.testing.assert_allclose(infojax.sample_interplay(z, np.asarray(y), head).mir, f(z))


def test_mesh_with_several_axes_and_sharded_features():
    grid = jax.make_mesh((1, 2), ("data", "model"))
    z = jax.device_put(placed("head", None)[:, :2], NamedSharding(grid, P("data", "model")))
    got = infojax.feature_entropy(z)
    np.testing.assert_allclose(got, infojax.feature_entropy(np.asarray(z)), rtol=1e-6)
    assert got.sharding.is_fully_replicated


@pytest.mark.parametrize("kind", AXES)
def test_sharded_features_are_reduced_where_they_are(kind):
    """Only the d x d moments travel: no all-gather of the samples, neither for the gradient."""
    z = placed("z", kind)
    compiled = jax.jit(infojax.feature_entropy).lower(z).compile().as_text()
    slopes = jax.jit(jax.grad(infojax.feature_entropy)).lower(z).compile().as_text()
    for text in (compiled, slopes):
        assert "all-reduce" in text and "all-gather" not in text


def test_cross_entropy_keeps_the_sharding_of_the_samples():
    z, y = placed("z", "explicit"), placed("y", "explicit") % D
    for f in (losses.cross_entropy, jax.jit(losses.cross_entropy)):
        got = f(z, y, 0.1)
        assert got.sharding.spec == P("data")
        alone = losses.cross_entropy(np.asarray(z), np.asarray(y), 0.1)
        np.testing.assert_allclose(got, alone, atol=1e-6)


def test_closed_over_arrays():
    z = placed("z", "explicit")
    with jax.set_mesh(mesh()):
        got = jax.jit(lambda scale: scale * infojax.feature_entropy(z))(2.0)
    np.testing.assert_allclose(got, 2 * expected("feature_entropy")[0][0], rtol=1e-6)


def test_signature_and_docstring_survive():
    """Documentation, type checkers and editors see the function itself."""
    assert "mask" in inspect.signature(infojax.feature_entropy).parameters
    assert infojax.feature_entropy.__doc__.startswith("Matrix entropy of features")
    assert infojax.feature_entropy.__module__ == "infojax.information"
