"""The quantities under test in float64 NumPy, written from the papers' definitions.

Every matrix is formed as in the definition, and its eigenvalues are computed directly: nothing here
shares a formula with the package. Eigenvalues below `TINY` times the largest are rounding.
"""

import math

import numpy as np

TINY = 1e-13


def unit_rows(z):
    z = np.asarray(z, np.float64)
    norm = np.linalg.norm(z, axis=1, keepdims=True)
    return np.divide(z, norm, out=np.zeros_like(z), where=norm > 0)


def gram(z):
    z = unit_rows(z)
    return z @ z.T


def entropy(k, alpha=1.0):
    """Entropy of order alpha of k / tr k."""
    k = np.asarray(k, np.float64)
    return entropy_of_spectrum(np.linalg.eigvalsh(k / np.trace(k)), alpha)


def entropy_of_spectrum(w, alpha=1.0):
    w = np.asarray(w, np.float64)
    w = w[w > TINY * w.max()]
    w = w / w.sum()
    if alpha == 1:
        return -np.sum(w * np.log(w))
    if alpha == math.inf:
        return -np.log(w.max())
    return np.log(np.sum(w**alpha)) / (1 - alpha)


def mutual_information(k1, k2, alpha=1.0):
    return entropy(k1, alpha) + entropy(k2, alpha) - entropy(k1 * k2, alpha)


def mir(k1, k2, alpha=1.0):
    return mutual_information(k1, k2, alpha) / min(entropy(k1, alpha), entropy(k2, alpha))


def hdr(k1, k2, alpha=1.0):
    h1, h2 = entropy(k1, alpha), entropy(k2, alpha)
    return abs(h1 - h2) / max(h1, h2)


def interplay(z, v, alpha=1.0):
    """The six fields of `infojax.Interplay`, computed from n x n matrices."""
    k1, k2 = gram(z), gram(v)
    return (
        entropy(k1, alpha),
        entropy(k2, alpha),
        entropy(k1 * k2, alpha),
        mutual_information(k1, k2, alpha),
        mir(k1, k2, alpha),
        hdr(k1, k2, alpha),
    )


def sample_interplay(z, y, w, alpha=1.0):
    return interplay(z, np.asarray(w)[np.asarray(y)], alpha)


def class_interplay(z, y, w, alpha=1.0):
    z, y, w = np.asarray(z, np.float64), np.asarray(y), np.asarray(w, np.float64)
    present = np.unique(y)
    means = np.stack([z[y == c].mean(0) for c in present]) - z.mean(0)
    return interplay(means, w[present], alpha)


def information_loss(z, v, mi_weight, id_weight):
    k1, k2 = gram(z), gram(v)
    difference = abs(entropy(k1) - entropy(k2))
    return id_weight * difference - mi_weight * mutual_information(k1, k2)


def cross_entropy(logits, labels, smoothing=0.0):
    """`-Σ_j q_j log p_j` with targets q = (1 - ε) onehot + ε / C."""
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    c = logits.shape[-1]
    top = logits.max(-1, keepdims=True)
    log_p = logits - top - np.log(np.exp(logits - top).sum(-1, keepdims=True))
    target = (1 - smoothing) * np.eye(c)[labels] + smoothing / c
    return -(target * log_p).sum(-1)


def central_difference(f, x, direction, step=1e-6):
    """Derivative of f at x along a direction, by central differences."""
    x, direction = np.asarray(x, np.float64), np.asarray(direction, np.float64)
    return (f(x + step * direction) - f(x - step * direction)) / (2 * step)
