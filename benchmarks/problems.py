"""Synthetic features, labels and head rows."""

from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Features z [n, d], labels y [n] and head rows w [C, d]; float32 and int32."""

    z: np.ndarray
    y: np.ndarray
    w: np.ndarray


def problem(n: int, d: int, classes: int, head: str = "means", seed: int = 0) -> Problem:
    """Features as in mid-training: class means plus noise with a power-law spectrum.

    Args:
      n: number of samples.
      d: number of features.
      classes: number of classes C; labels are uniform.
      head: "means" (rows are the class means plus noise), "orthonormal" (C <= d; the joint
        spectrum splits into one problem of size d per class, solved exactly at any n), or
        "correlated" (rows share a direction: cosines of 0.8).
      seed: of all random numbers.
    """
    rng = np.random.default_rng(seed)
    scale = (1.0 + np.arange(d, dtype=np.float32)) ** -0.5
    mixing = np.linalg.qr(rng.standard_normal((d, d), dtype=np.float32))[0] * scale[:, None]
    means = rng.standard_normal((classes, d), dtype=np.float32) @ mixing
    y = rng.integers(0, classes, n, dtype=np.int32)
    z = rng.standard_normal((n, d), dtype=np.float32) @ mixing
    z += means[y]
    rows = rng.standard_normal((classes, d), dtype=np.float32)
    w = {
        "means": lambda: means + 0.5 * rows @ mixing,
        "orthonormal": lambda: np.linalg.qr(rows.T)[0].T,
        "correlated": lambda: rows + 2 * rng.standard_normal((1, d), dtype=np.float32),
    }[head]()
    return Problem(z, y, np.ascontiguousarray(w, dtype=np.float32))
