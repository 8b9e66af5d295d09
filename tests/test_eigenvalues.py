"""Eigenvalues against LAPACK in float64: split, integer and repeated spectra, at any scale."""

import itertools
import math

import hypothesis
import jax
import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.sharding import PartitionSpec as P

from infojax import matrix_entropy
from infojax._eigenvalues import bisect, eigenvalues
from tests import devices, reference

ROUNDINGS = 16  # LAPACK's own errors reach 8 at these sizes
SIZES = (1, 2, 3, 4, 7, 16, 17, 60)
compiled = jax.jit(eigenvalues)
entropies = jax.jit(jax.vmap(matrix_entropy))
gradients = jax.jit(jax.vmap(jax.grad(matrix_entropy)))


def assert_accurate(w, k, scale=1.0):
    """Errors relative to the largest eigenvalue; k [..., n, n] is what the scale multiplied."""
    expected = np.linalg.eigvalsh(np.asarray(k, np.float64))
    largest = np.abs(expected).max(-1, keepdims=True) + (expected == 0).all(-1, keepdims=True)
    error = np.abs(np.asarray(w, np.float64) / scale - expected) / largest
    assert error.max() <= ROUNDINGS * np.finfo(w.dtype).eps, (k, w, expected)


def blocks(rng, n):
    """Semi-definite integer blocks of one to three rows, some of them zero."""
    k, start = np.zeros((n, n)), 0
    while start < n:
        size = min(rng.integers(1, 4), n - start)
        a = rng.integers(-2, 3, (size, rng.integers(0, 3)))
        k[start : start + size, start : start + size] = a @ a.T
        start += size
    return k


def arrow(rng, n):
    k = np.diag(rng.integers(-3, 4, n)).astype(float)
    k[0] = k[:, 0] = rng.integers(-2, 3, n)
    return k


def permuted(rng, k):
    order = rng.permutation(len(k))
    return k[np.ix_(order, order)]


def toeplitz(*column):
    """The first entries of the column; the others are zero."""

    def matrix(_, n):
        distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        return np.append(column, 0.0)[np.minimum(distance, len(column))]

    return matrix


def rotated(rng, w):
    q = np.linalg.qr(rng.normal(size=(len(w), len(w))))[0]
    return (q * w) @ q.T


KINDS = {
    "zero": lambda _, n: np.zeros((n, n)),
    "identity": lambda _, n: np.eye(n),
    "ones": lambda _, n: np.ones((n, n)),
    "diagonal": lambda rng, n: np.diag(rng.integers(-3, 4, n)),
    "graded": lambda _, n: np.diag(10.0 ** -np.arange(n)),
    "block-diagonal": blocks,
    "permuted blocks": lambda rng, n: permuted(rng, blocks(rng, n)),
    "integer": lambda rng, n: np.tril(x := rng.integers(-2, 3, (n, n))) + np.tril(x, -1).T,
    "arrow": arrow,
    "permuted arrow": lambda rng, n: permuted(rng, arrow(rng, n)),
    "path": toeplitz(0.0, 1.0),
    "Laplacian": toeplitz(2.0, -1.0),
    "band": toeplitz(2.0, 1.0, 0.5),
    "ties and zeros": lambda rng, n: rotated(rng, rng.integers(0, 3, n)),
    "low rank": lambda rng, n: (z := rng.normal(size=(n, 1 + n // 4))) @ z.T,
}


def matrices(kind, n, count=3):
    rng = np.random.default_rng(n)
    return np.stack([KINDS[kind](rng, n) for _ in range(count)])


@pytest.mark.parametrize("kind", KINDS)
def test_structured_matrices_match_lapack(kind):
    for n in SIZES:
        k = matrices(kind, n).astype(np.float32)
        assert_accurate(compiled(k), k)


@pytest.mark.parametrize("kind", KINDS)
def test_structured_matrices_match_lapack_in_float64(kind, x64):
    for n in (2, 7, 60):
        k = matrices(kind, n).astype(np.float64)
        assert_accurate(compiled(k), k)


def test_every_small_diagonal_matrix():
    """Zero off-diagonals split the matrix; eigenvalues coincide with points of the bisection."""
    for n in (2, 3, 4, 5):
        diagonals = np.array(list(itertools.product(range(4), repeat=n)), np.float32)
        k = np.einsum("bi,ij->bij", diagonals, np.eye(n, dtype=np.float32))
        assert_accurate(compiled(k), k)
        p = diagonals / np.maximum(diagonals.sum(1, keepdims=True), 1)
        log_p = np.log(np.where(p > 0, p, 1))
        entropy = -np.sum(p * log_p, 1)
        np.testing.assert_allclose(entropies(k), entropy, atol=2e-6)
        slope = np.where(p > 0, -(log_p + entropy[:, None]), 0)
        slope /= np.maximum(diagonals.sum(1, keepdims=True), 1)
        got = np.einsum("bii->bi", gradients(k))
        np.testing.assert_allclose(got, slope, atol=5e-6)


def test_every_small_tridiagonal_matrix():
    for n in (2, 3, 4):
        entries = np.array(list(itertools.product((0, 1, 2), repeat=2 * n - 1)), np.float32)
        diagonal, off_diagonal = entries[:, :n], entries[:, n:]
        k = np.einsum("bi,ij->bij", diagonal, np.eye(n))
        k[:, np.arange(1, n), np.arange(n - 1)] = off_diagonal
        assert_accurate(jax.jit(bisect)(diagonal, off_diagonal), k + np.tril(k, -1).mT)


def test_representable_eigenvalues_are_exact():
    """On every processor: neither reduction nor bisection of a diagonal matrix rounds."""
    for n in SIZES[1:]:
        np.testing.assert_array_equal(compiled(np.eye(n, dtype=np.float32)), 1)
        np.testing.assert_array_equal(compiled(np.zeros((n, n), np.float32)), 0)


sparse_integers = st.sampled_from((2, 3, 5, 8)).flatmap(
    lambda n: hnp.arrays(
        np.int8, (n, n), elements=st.integers(-3, 3), fill=st.just(0), unique=False
    )
)


@hypothesis.settings(deadline=None, max_examples=400, derandomize=True)
@hypothesis.given(sparse_integers)
def test_integer_matrices_match_lapack(a):
    """Indefinite `A + Aᵀ`, and semi-definite `A Aᵀ` with its entropy."""
    a = a.astype(np.float32)
    assert_accurate(compiled(a + a.T), a + a.T)
    k = a @ a.T
    assert_accurate(compiled(k), k)
    expected = reference.entropy(k) if k.any() else 0
    np.testing.assert_allclose(entropies(k[None])[0], expected, atol=5e-6)


# Scales


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e-10, 1e10, 1e20, 1e36])
def test_any_scale(scale):
    scale = np.float32(scale)
    for kind in ("diagonal", "integer", "Laplacian", "ties and zeros"):
        k = matrices(kind, 7).astype(np.float32)
        assert_accurate(compiled(k * scale), k, scale)


def test_largest_number():
    largest = np.finfo(np.float32).max
    w = np.asarray(compiled(np.diag([0, largest])))
    np.testing.assert_allclose(w / largest, [0, 1], atol=1e-7)


@pytest.mark.parametrize("exponent", [-37, -30, -20, 20, 30, 37])
@pytest.mark.parametrize("kind", ["diagonal", "block-diagonal", "Laplacian", "ties and zeros"])
def test_entropy_does_not_depend_on_scale(kind, exponent):
    """Traces and sums of 1e37 overflow, and squares of 1e-37 vanish."""
    scale = np.float32(10.0**exponent)
    k = matrices(kind, 7).astype(np.float32)
    if kind == "diagonal":
        k = np.abs(k)
    if kind == "ties and zeros":  # some entries are a hundredth of the largest
        scale = np.float32(max(scale, 1e-34))
    np.testing.assert_allclose(entropies(k * scale), entropies(k), atol=3e-6)
    if abs(exponent) <= 30:  # gradients are as large as 1 / scale
        np.testing.assert_allclose(gradients(k * scale) * scale, gradients(k), atol=2e-5)


# Transformations


def test_batches_vmap_and_jit_agree():
    k = np.stack([matrices(kind, 5, 2) for kind in KINDS]).astype(np.float32)
    expected = np.linalg.eigvalsh(k.astype(np.float64))
    for f in (eigenvalues, compiled, jax.vmap(eigenvalues), jax.vmap(jax.vmap(eigenvalues))):
        np.testing.assert_allclose(f(k), expected, atol=5e-6)


@pytest.mark.parametrize("check_vma", [False, True])
def test_inside_shard_map(check_vma):
    k = matrices("integer", 5, 4).astype(np.float32)
    mapped = jax.shard_map(
        eigenvalues,
        mesh=devices.mesh(),
        in_specs=P("batch"),
        out_specs=P("batch"),
        check_vma=check_vma,
    )
    assert_accurate(jax.jit(mapped)(k), k)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_nonfinite_entries_give_nan(bad):
    for n in (1, 2, 3, 16):
        for i, j in {(0, 0), (n - 1, 0), (0, n - 1), (n // 2, n // 2)}:
            k = np.eye(n, dtype=np.float32)
            k[i, j] = k[j, i] = bad
            assert np.all(np.isnan(entropies(k[None])))
            if n > 1:
                assert np.all(np.isnan(compiled(k)))


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="LAPACK runs on the CPU")
@pytest.mark.parametrize("f", [eigenvalues, jax.vmap(eigenvalues), jax.vmap(jax.vmap(eigenvalues))])
def test_lapack_is_called_matrix_by_matrix(f):
    """Batched calls that run at once can wait for each other for ever."""
    lowered = jax.jit(f).lower(np.ones((2, 3, 4, 4), np.float32)).as_text()
    calls = [line for line in lowered.splitlines() if "lapack_ssytrd" in line]
    assert calls and all("(tensor<4x4xf32>)" in line for line in calls)
