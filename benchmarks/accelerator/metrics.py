"""Part 2: seconds of MIR and HDR with and without gradients, and of eigenvalues."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contenders, problems
from benchmarks.accelerator import torch_side
from benchmarks.accelerator.context import Context, Measurement
from benchmarks.accelerator.timing import median_seconds, timed
from infojax import _eigenvalues, squarings

_D, _CLASSES = 128, 10
_SIZES = (64, 256, 1024, 4096, 16384)
_LARGEST_FOR_TORCH = 4096  # but for one: its matrices are n x n
_LARGEST_TO_BISECT = 1280  # a loop over the rows, which the host looks after
_LARGEST_FOR_JACOBI = 256
_MATRICES = ((64, 1), (64, 64), (256, 1), (256, 64), (1280, 1), (4096, 1))  # size, batch
_SMALL = (16,), ((16, 4),)

Solver = Callable[[jax.Array], Any]


def _by_squarings(k: jax.Array) -> Any:
    return jax.value_and_grad(lambda k: jnp.sum(squarings.product_entropy(k)))(k)


# How infojax's metrics get eigenvalues; its gradients need vectors, or squarings, which give the
# entropy too; and other ways to eigenvalues and vectors.
_SOLVERS: dict[str, Solver] = {
    "infojax, values": _eigenvalues.eigenvalues,
    "infojax, vectors": _eigenvalues.decomposition,
    "squarings, entropy and gradient": _by_squarings,
    "tridiagonal and bisection, values": _eigenvalues._by_bisection,
    "Jacobi, vectors": lambda k: jax.lax.linalg.eigh(
        k, implementation=jax.lax.linalg.EighImplementation.JACOBI
    ),
}


def measurements(context: Context) -> Iterator[Measurement]:
    """Metrics by n, PyTorch's beside them, then eigensolvers by size and batch."""
    sizes, matrices = _SMALL if context.small else (_SIZES, _MATRICES)
    for gradient in (False, True):
        for n in sizes:
            run = functools.partial(_infojax, n, gradient)
            yield Measurement(_name("infojax", n, gradient), run)
            if torch_side.installed() and n <= _LARGEST_FOR_TORCH:
                run = functools.partial(_torch, n, gradient)
                yield Measurement(_name("torch", n, gradient), run, 10.0)
    yield from _solvers(matrices, context.small)
    if torch_side.installed() and not context.small:
        run = functools.partial(_torch, _SIZES[-1], False)
        yield Measurement(_name("torch", _SIZES[-1], False), run, 60.0)


def _solvers(matrices: Sequence[tuple[int, int]], small: bool) -> Iterator[Measurement]:
    for size, batch in matrices:
        for name in _SOLVERS:
            if name.startswith("Jacobi") and (small or size > _LARGEST_FOR_JACOBI):
                continue  # the CPU has none; slow for large matrices
            if name.startswith("tridiagonal") and size > _LARGEST_TO_BISECT:
                continue
            run = functools.partial(_solver, name, size, batch)
            yield Measurement(f"{name}, {batch} x {size}", run, 12.0)
        for vectors in (False, True) if torch_side.installed() else ():
            run = functools.partial(_torch_solver, vectors, size, batch)
            kind = "vectors" if vectors else "values"
            yield Measurement(f"torch, {kind}, {batch} x {size}", run, 12.0)


def _name(who: str, n: int, gradient: bool) -> str:
    return f"{who}, n = {n}{', with gradient' if gradient else ''}"


def _infojax(n: int, gradient: bool) -> dict[str, Any]:
    problem = problems.problem(n, _D, _CLASSES)
    seconds, run = timed(lambda: contenders.CONTENDERS["infojax"](problem, gradient))
    return {"compile_seconds": seconds, **_timed("infojax", run, lambda x: x, n, gradient)}


def _torch(n: int, gradient: bool) -> dict[str, Any]:
    run = torch_side.metrics(problems.problem(n, _D, _CLASSES), gradient)
    return _timed("torch", run, torch_side.wait, n, gradient)


def _timed(who: str, run: Any, wait: Any, n: int, gradient: bool) -> dict[str, Any]:
    mir, hdr = (float(x) for x in run()[:2])
    fields = {"contender": who, "n": n, "gradient": gradient, "mir": mir, "hdr": hdr}
    return {**fields, "seconds": median_seconds(run, wait)}


def _matrices(size: int, batch: int) -> np.ndarray:
    """Gram matrices of unit trace, as the metrics decompose."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, size, size), dtype=np.float32)
    x *= (1 + np.arange(size, dtype=np.float32)) ** -0.5
    k = x @ np.swapaxes(x, 1, 2)
    return k / np.trace(k, axis1=1, axis2=2)[:, None, None]


def _solver(name: str, size: int, batch: int) -> dict[str, Any]:
    k = jnp.asarray(_matrices(size, batch))
    seconds, solve = timed(jax.jit(_SOLVERS[name]).lower(k).compile)
    fields = {"solver": name, "size": size, "batch": batch, "compile_seconds": seconds}
    return {**fields, "seconds": median_seconds(lambda: solve(k), jax.block_until_ready)}


def _torch_solver(vectors: bool, size: int, batch: int) -> dict[str, Any]:
    run = torch_side.eigenvalues(_matrices(size, batch), vectors)
    name = f"torch, {'vectors' if vectors else 'values'}"
    fields = {"solver": name, "size": size, "batch": batch}
    return {**fields, "seconds": median_seconds(run, torch_side.wait)}
