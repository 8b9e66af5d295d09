"""MIR and HDR of features and head rows, each package at its best.

Every function takes a problem and whether to compute the gradient (of `mir - hdr`, by z and w), and
returns a function without arguments whose result is `(mir, hdr)`, `(mir, hdr, dz, dw)` or, for an
estimate, `(mir, hdr, standard error of mir)`.
"""

import importlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import problems, reference
from benchmarks.problems import Problem
from benchmarks.worker import Task, UnsupportedError

FLOOR = "LAPACK alone"
Run = Callable[[], Any]


def build(
    name: str, gradient: bool, n: int, d: int, classes: int, reference_file: str | None
) -> Task:
    """Sets up a contender; entry point of its process.

    Args:
      name: key of `CONTENDERS`.
      gradient: whether to compute the gradient too.
      n: number of samples.
      d: number of features.
      classes: number of classes.
      reference_file: npz file with the fields of a `Reference`, or None.
    """
    run = CONTENDERS[name](problems.problem(n, d, classes), gradient)
    return Task(run, lambda result: _report(result, reference_file))


def build_reference(n: int, d: int, classes: int, reference_file: str) -> Task:
    """Sets up the float64 reference, saved to a file; entry point of its process."""
    problem = problems.problem(n, d, classes)

    def run() -> bool:
        found = reference.interplay(problem, gradient=True)
        if found is not None:
            np.savez(reference_file, **found._asdict())
        return found is not None

    return Task(run, lambda found: {"found": found})


def _report(result: Any, reference_file: str | None) -> dict[str, float]:
    """Values and, given a reference, relative errors."""
    result = [np.asarray(x, dtype=np.float64) for x in result]
    report = {"mir": float(result[0]), "hdr": float(result[1])}
    if len(result) == 3:
        report["standard_error"] = float(result[2]) / report["mir"]
    if reference_file is None:
        return report
    exact = np.load(reference_file)
    for name, value in zip(["mir", "hdr"], result[:2], strict=True):
        report[f"error_{name}"] = float(abs(value - exact[name]) / exact[name])
    if len(result) == 4:
        wrong = np.concatenate([result[2] - exact["gradient_z"], result[3] - exact["gradient_w"]])
        size = np.concatenate([exact["gradient_z"], exact["gradient_w"]])
        report["error_gradient"] = float(np.linalg.norm(wrong) / np.linalg.norm(size))
    return report


def _infojax(problem: Problem, gradient: bool) -> Run:
    from infojax import sample_interplay

    def ratios(z, y, w):
        result = sample_interplay(z, y, w)
        return result.mir, result.hdr

    return _jitted(ratios, problem, gradient)


def _squarings(problem: Problem, gradient: bool) -> Run:
    """By matrix products alone, as information losses do on request."""
    from infojax import interplay, squarings

    def ratios(z, y, w):
        result = interplay(z, w[y], entropy=squarings.product_entropy)
        return result.mir, result.hdr

    return _jitted(ratios, problem, gradient)


def _population(problem: Problem, gradient: bool) -> Run:
    """Estimates to a relative standard error of 1e-3 where dense eigenvalues take too long."""
    from infojax import population

    def ratios(z, y, w):
        result = population.interplay_of_features(z, y, w, rtol=1e-3)
        if result.route != "lanczos":
            raise UnsupportedError("as infojax")
        return result.mir, result.hdr, result.standard_error.mir

    if gradient:
        raise UnsupportedError("no gradient")
    return _compiled(ratios, problem)


def _jax(problem: Problem, gradient: bool) -> Run:
    """Straightforward JAX: three n×n matrices and `jnp.linalg.eigvalsh`."""
    import jax.numpy as jnp

    def entropy(k):
        p = jnp.linalg.eigvalsh(k / k.shape[0])
        p = jnp.where(p > 0, p, 1)
        return -jnp.sum(p * jnp.log(p))

    def ratios(z, y, w):
        z = z / jnp.linalg.norm(z, axis=1, keepdims=True)
        v = (w / jnp.linalg.norm(w, axis=1, keepdims=True))[y]
        gram_z, gram_v = z @ z.T, v @ v.T
        a, b, joint = entropy(gram_z), entropy(gram_v), entropy(gram_z * gram_v)
        return (a + b - joint) / jnp.minimum(a, b), jnp.abs(a - b) / jnp.maximum(a, b)

    return _jitted(ratios, problem, gradient)


def _jitted(ratios: Callable, problem: Problem, gradient: bool) -> Run:
    import jax

    def objective(z, y, w):
        mir, hdr = ratios(z, y, w)
        return mir - hdr, (mir, hdr)

    def both(z, y, w):
        (dz, dw), values = jax.grad(objective, argnums=(0, 2), has_aux=True)(z, y, w)
        return *values, dz, dw

    return _compiled(both if gradient else ratios, problem)


def _compiled(function: Callable, problem: Problem) -> Run:
    import jax

    arguments = jax.device_put(tuple(problem))
    compiled = jax.jit(function).lower(*arguments).compile()
    return lambda: jax.block_until_ready(compiled(*arguments))


def _numpy(problem: Problem, gradient: bool) -> Run:
    if gradient:
        raise UnsupportedError("no gradient")

    def entropy(k):
        p = np.linalg.eigvalsh(k / np.float32(len(k)))
        p = p[p > 0]
        return -np.sum(p * np.log(p))

    def run():
        z = problem.z / np.linalg.norm(problem.z, axis=1, keepdims=True)
        v = (problem.w / np.linalg.norm(problem.w, axis=1, keepdims=True))[problem.y]
        gram_z, gram_v = z @ z.T, v @ v.T
        return _ratios(entropy(gram_z), entropy(gram_v), entropy(gram_z * gram_v))

    return run


def _lapack(problem: Problem, gradient: bool) -> Run:
    """The floor of infojax: LAPACK alone on the same matrices, from the library that JAX calls.

    Eigenvalues suffice for the values; the gradient needs eigenvectors too.
    """
    from scipy.linalg import lapack

    def eigenvalues(k: np.ndarray, workspace: int) -> np.ndarray:
        if gradient:
            return lapack.ssyevd(k, lower=1)[0]
        _, diagonal, off_diagonal, *_ = lapack.ssytrd(k, lower=1, lwork=workspace)
        return lapack.ssterf(diagonal, off_diagonal)[0]

    def entropy(k: np.ndarray, workspace: int) -> float:
        p = eigenvalues(k, workspace)
        p = p[p > 0]
        return -np.sum(p * np.log(p))

    matrices = [np.asfortranarray(k) for k in reference.smallest_matrices(problem)]
    workspaces = [int(lapack.ssytrd_lwork(len(k), lower=1)[0]) for k in matrices]
    return lambda: _ratios(*map(entropy, matrices, workspaces))


def _vendi(problem: Problem, gradient: bool) -> Run:
    """Vendi scores are exponentials of entropies; their dual form is faster where d < n."""
    if gradient:
        raise UnsupportedError("no gradient")
    from vendi_score import vendi

    def entropy(x):
        dual = x.shape[1] < x.shape[0]
        return math.log(vendi.score_dual(x) if dual else vendi.score_X(x))

    def run():
        z = problem.z / np.linalg.norm(problem.z, axis=1, keepdims=True)
        v = (problem.w / np.linalg.norm(problem.w, axis=1, keepdims=True))[problem.y]
        joint = math.log(vendi.score_K((z @ z.T) * (v @ v.T)))
        return _ratios(entropy(z), entropy(v), joint)

    return run


def _torch(problem: Problem, gradient: bool) -> Run:
    """The authors' recipe: normalise, Gram matrices, Hadamard product, eigenvalues."""
    import torch

    def entropy(k):
        p = torch.linalg.eigvalsh(k / k.shape[0])
        p = torch.where(p > 0, p, 1.0)
        return -torch.sum(p * torch.log(p))

    return _torch_run(entropy, problem, gradient)


def _repitl(problem: Problem, gradient: bool) -> Run:
    """The von Neumann entropy of `repitl` is in bits, a factor that cancels in the ratios."""
    try:
        repitl = importlib.import_module("repitl.matrix_itl")
    except ImportError:
        raise UnsupportedError("not installed; PyPI's 1.0.7 contains no modules") from None
    return _torch_run(repitl.vonNeumannEntropy, problem, gradient)


def _torch_run(entropy: Callable, problem: Problem, gradient: bool) -> Run:
    import torch

    z, w = torch.from_numpy(problem.z), torch.from_numpy(problem.w)
    y = torch.from_numpy(problem.y.astype(np.int64))
    z.requires_grad_(gradient)
    w.requires_grad_(gradient)

    def ratios():
        unit_z, unit_v = (torch.nn.functional.normalize(x, dim=1) for x in (z, w[y]))
        gram_z, gram_v = unit_z @ unit_z.T, unit_v @ unit_v.T
        a, b, joint = entropy(gram_z), entropy(gram_v), entropy(gram_z * gram_v)
        return (a + b - joint) / torch.minimum(a, b), torch.abs(a - b) / torch.maximum(a, b)

    def run():
        mir, hdr = ratios()
        if not gradient:
            return mir, hdr
        slopes = torch.autograd.grad(mir - hdr, (z, w))
        return mir.detach(), hdr.detach(), *slopes

    return run


def _ratios(a: float, b: float, joint: float) -> tuple[float, float]:
    return (a + b - joint) / min(a, b), abs(a - b) / max(a, b)


CONTENDERS: dict[str, Callable[[Problem, bool], Run]] = {
    "infojax": _infojax,
    "infojax.squarings": _squarings,
    "infojax.population": _population,
    FLOOR: _lapack,
    "numpy n×n": _numpy,
    "jax n×n": _jax,
    "torch n×n": _torch,
    "vendi-score": _vendi,
    "representation-itl": _repitl,
}
