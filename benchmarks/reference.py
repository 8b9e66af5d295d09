"""MIR, HDR and their gradient in float64 NumPy, from the smallest exact form of each spectrum.

Written from the definitions (Song et al. 2024), without infojax. `P = K / n` has the spectrum of
`P' = X^T X / n` for `K = X X^T`, and `dS/dX = -(2/n) X (log P' + S)`.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.problems import Problem

LARGEST = 5_120  # size of the largest dense reference problem


class Reference(NamedTuple):
    """Values of `mir` and `hdr`, and the gradients of `mir - hdr` by z and w (or None)."""

    mir: float
    hdr: float
    gradient_z: np.ndarray | None = None
    gradient_w: np.ndarray | None = None


def interplay(problem: Problem, gradient: bool) -> Reference | None:
    """Reference of a problem, or None where the joint matrix exceeds `LARGEST` in every form."""
    z, z_norm = _unit_rows(problem.z)
    w, w_norm = _unit_rows(problem.w)
    (n, d), y = z.shape, problem.y
    basis = np.linalg.qr(w.T)[0]  # [d, r]
    if min(n, d * basis.shape[1]) > LARGEST:
        return None
    counts = np.bincount(y, minlength=len(w))
    entropy_z, slope_z = _entropy(z.T @ z / n, gradient)
    entropy_v, slope_v = _entropy((w.T * counts) @ w / n, gradient)
    joint = _joint_by_samples if n <= d * basis.shape[1] else _joint_by_moments
    entropy_joint, joint_z, joint_w = joint(z, y, w, basis, gradient)

    low, high = sorted([entropy_z, entropy_v])
    mutual = entropy_z + entropy_v - entropy_joint
    mir, hdr = mutual / low, (high - low) / high
    if not gradient:
        return Reference(mir, hdr)
    by_joint, by_high = -1 / low, 1 / low - low / high**2  # derivatives of mir - hdr
    by_low = 1 / low - mutual / low**2 + 1 / high
    by_z, by_v = (by_low, by_high) if entropy_z <= entropy_v else (by_high, by_low)
    gradient_z = by_z * 2 / n * z @ slope_z + by_joint * joint_z
    gradient_w = by_v * 2 / n * counts[:, None] * (w @ slope_v) + by_joint * joint_w
    return Reference(
        mir, hdr, _through_norm(gradient_z, z, z_norm), _through_norm(gradient_w, w, w_norm)
    )


def smallest_matrices(problem: Problem) -> list[np.ndarray]:
    """The smallest float32 matrices of features, head and joint, of unit trace."""
    z, w, y = _unit_rows(problem.z)[0], _unit_rows(problem.w)[0], problem.y
    if len(z) <= z.shape[1] * min(w.shape):
        joint = (z @ z.T) * (w[y] @ w[y].T)
    else:
        coordinates = (w @ np.linalg.qr(w.T)[0])[y]
        joint = _smaller_product((z[:, :, None] * coordinates[:, None]).reshape(len(z), -1))
    head = np.sqrt(np.bincount(y, minlength=len(w)))[:, None] * w
    matrices = [_smaller_product(z), _smaller_product(head), joint]
    return [(k / np.trace(k)).astype(np.float32) for k in matrices]


def _smaller_product(x: np.ndarray) -> np.ndarray:
    return x @ x.T if x.shape[0] <= x.shape[1] else x.T @ x


def joint_entropy_by_class(problem: Problem) -> float:
    """Joint entropy for orthonormal head rows: the spectra of C moments [d, d]."""
    z = _unit_rows(problem.z)[0]
    spectra = [
        np.linalg.eigvalsh(z[problem.y == c].T @ z[problem.y == c] / len(z))
        for c in range(len(problem.w))
    ]
    return _sum_entropy(np.concatenate(spectra))


def interplay_by_class(problem: Problem) -> Reference:
    """Reference at any n for orthonormal head rows."""
    z = _unit_rows(problem.z)[0]
    frequency = np.bincount(problem.y, minlength=len(problem.w)) / len(z)
    entropy_z = _entropy(z.T @ z / len(z), False)[0]
    low, high = sorted([entropy_z, _sum_entropy(frequency)])
    return Reference((low + high - joint_entropy_by_class(problem)) / low, (high - low) / high)


def _unit_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x = x.astype(np.float64)
    norm = np.linalg.norm(x, axis=1, keepdims=True)
    return x / norm, norm


def _through_norm(gradient: np.ndarray, unit: np.ndarray, norm: np.ndarray) -> np.ndarray:
    return (gradient - np.sum(gradient * unit, 1, keepdims=True) * unit) / norm


def _sum_entropy(spectrum: np.ndarray) -> float:
    spectrum = spectrum[spectrum > 0]
    return float(-np.sum(spectrum * np.log(spectrum)))


def _entropy(p: np.ndarray, gradient: bool) -> tuple[float, np.ndarray]:
    """Entropy of p and its derivative by p, zero on the null space."""
    if not gradient:
        return _sum_entropy(np.linalg.eigvalsh(p)), np.empty(0)
    spectrum, vectors = np.linalg.eigh(p)
    value = _sum_entropy(spectrum)
    support = spectrum > len(p) * np.finfo(p.dtype).eps * spectrum[-1]
    slope = np.where(support, -(np.log(np.where(support, spectrum, 1)) + value), 0)
    return value, (vectors * slope) @ vectors.T


def _joint_by_samples(z, y, w, basis, gradient):
    gram_z, gram_v = z @ z.T, w[y] @ w[y].T
    value, slope = _entropy(gram_z * gram_v / len(z), gradient)
    if not gradient:
        return value, None, None
    by_v = 2 / len(z) * (slope * gram_z) @ w[y]
    by_w = np.stack([by_v[y == c].sum(0) for c in range(len(w))])
    return value, 2 / len(z) * (slope * gram_v) @ z, by_w


def _joint_by_moments(z, y, w, basis, gradient):
    (n, d), k = z.shape, w @ basis
    moments = np.stack([z[y == c].T @ z[y == c] for c in range(len(w))])
    pairs = k[:, :, None] * k[:, None, :]
    joint = np.tensordot(moments, pairs, (0, 0)).transpose(0, 2, 1, 3) / n  # [d, r, d, r]
    value, slope = _entropy(joint.reshape(d * k.shape[1], -1), gradient)
    if not gradient:
        return value, None, None
    slope = slope.reshape(joint.shape)
    by_z, by_k = np.empty_like(z), np.empty_like(k)
    for c in range(len(w)):
        right = slope @ k[c]  # [d, r, d]
        by_z[y == c] = 2 / n * z[y == c] @ np.tensordot(k[c], right, (0, 1))
        by_k[c] = 2 / n * np.einsum("ab,arb->r", moments[c], right)
    return value, by_z, by_k @ basis.T
