"""Synthetic features, labels and head rows to measure on."""

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Features z [n, d], labels y [n] and head rows w [C, d]; float32 and int32."""

    z: np.ndarray
    y: np.ndarray
    w: np.ndarray


def problem(n: int, d: int, classes: int, orthogonal_head: bool = False, seed: int = 0) -> Problem:
    """Features as in the middle of training: class means and noise of a power-law spectrum.

    Args:
      n: number of samples.
      d: number of features.
      classes: number of classes C; labels are uniform.
      orthogonal_head: whether the head's rows are orthonormal (C <= d), so that the joint spectrum
        splits into one problem of size d for each class and is known exactly at any size.
      seed: of everything random.

    Returns:
      A problem whose head rows are the class means plus noise, or orthonormal.
    """
    rng = np.random.default_rng(seed)
    scale = (1.0 + np.arange(d, dtype=np.float32)) ** -0.5
    mixing = np.linalg.qr(rng.standard_normal((d, d), dtype=np.float32))[0] * scale[:, None]
    means = rng.standard_normal((classes, d), dtype=np.float32) @ mixing
    y = rng.integers(0, classes, n, dtype=np.int32)
    z = rng.standard_normal((n, d), dtype=np.float32) @ mixing
    z += means[y]
    if orthogonal_head:
        w = np.linalg.qr(rng.standard_normal((d, classes), dtype=np.float32))[0].T
    else:
        w = means + 0.5 * rng.standard_normal((classes, d), dtype=np.float32) @ mixing
    return Problem(z, y, np.ascontiguousarray(w, dtype=np.float32))
