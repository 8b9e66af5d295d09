"""How alike the features of a network are: entropies beside cosines, clusters and predictions."""

import jax
import jax.numpy as jnp
import numpy as np
from sklearn import cluster, metrics

from infojax import effective_rank, population
from infojax.population import Statistics

Measures = dict[str, float]


def measure(z: np.ndarray, y: np.ndarray, w: np.ndarray) -> Measures:
    """Returns what features are like, within and between classes.

    Args:
      z: features, float [n, d].
      y: labels, int [n], in [0, C).
      w: head, one row per class, float [C, d].

    Returns:
      Entropies in nats, within classes (mean over classes) and of the class means; mean cosines;
      NMI of k-means clusters with the labels, and the silhouette of the labels; least-squares
      errors with their bounds, see `predictions`.
    """
    entropies = {name: float(x) for name, x in _entropies(z, y, w).items()}
    return entropies | cosines(z, y) | clusters(z, y) | predictions(z, w[y])


@jax.jit
def _entropies(z: jax.Array, y: jax.Array, w: jax.Array) -> dict[str, jax.Array]:
    num_classes, d = w.shape
    statistics = Statistics.zeros(num_classes, d).update(z, y)
    within = population.within_class_entropies(statistics)
    return {
        "within_class_entropy": jnp.mean(within, where=statistics.counts > 0),
        "class_mean_entropy": population.class_mean_entropy(statistics),
    }


def cosines(z: np.ndarray, y: np.ndarray) -> Measures:
    """Mean cosine similarity of different samples of one class, and of two classes."""
    unit = _unit_rows(z)
    n_c = np.bincount(y)
    sums = np.zeros((len(n_c), unit.shape[1]))
    np.add.at(sums, y, unit)
    same = np.sum(sums**2)  # over pairs of one class, including each sample with itself
    pairs = np.sum(n_c**2)
    return {
        "cosine_within": float((same - np.sum(unit**2)) / (pairs - len(y))),
        "cosine_between": float((np.sum(sums.sum(0) ** 2) - same) / (len(y) ** 2 - pairs)),
    }


def clusters(z: np.ndarray, y: np.ndarray) -> Measures:
    """How well unit features fall into classes: NMI of k-means with the labels, and silhouette."""
    unit = _unit_rows(z)
    found = cluster.KMeans(len(np.unique(y)), n_init=4, random_state=0).fit_predict(unit)
    return {
        "nmi": float(metrics.normalized_mutual_info_score(y, found)),
        "silhouette": float(metrics.silhouette_score(unit, y, metric="cosine")),
    }


def predictions(z: np.ndarray, v: np.ndarray) -> Measures:
    """Least-squares errors between features and head rows, with their bounds.

    A target is a unit vector that one side predicts exactly, drawn at random. Its expected error
    from the other side is `1 - tr P_z P_v / rank` of the first side, which
    `population.rank_bound` bounds. With effective ranks it is no longer a bound, but interprets the
    entropies.

    Args:
      z: features, float [n, d].
      v: head rows of the samples, float [n, d].

    Returns:
      Of targets of the features, `error_from_head`, `rank_bound_from_head` and
      `effective_bound_from_head`; of targets of the head rows, the same `_from_features`. 0 where
      a side is zero and has no targets.
    """
    (basis_z, rank_z), (basis_v, rank_v) = map(_column_space, (_unit_rows(z), _unit_rows(v)))
    overlap = float(np.sum((basis_z.T @ basis_v) ** 2))
    effective_z, effective_v = float(effective_rank(z)), float(effective_rank(v))
    return {
        "error_from_head": _error(overlap, rank_z),
        "rank_bound_from_head": _bound(rank_z, rank_v),
        "effective_bound_from_head": _bound(effective_z, effective_v),
        "error_from_features": _error(overlap, rank_v),
        "rank_bound_from_features": _bound(rank_v, rank_z),
        "effective_bound_from_features": _bound(effective_v, effective_z),
    }


def _error(overlap: float, rank: int) -> float:
    """Error for targets of a side of this rank; a side of rank 0 has none."""
    return 1 - overlap / rank if rank else 0.0


def _bound(rank1: float, rank2: float) -> float:
    if not rank1:
        return 0.0
    return float(population.rank_bound(jnp.float32(rank1), jnp.float32(rank2)))


def _column_space(x: np.ndarray) -> tuple[np.ndarray, int]:
    """An orthonormal basis [n, r] of the columns, and their rank r beyond float32's rounding."""
    u, s, _ = np.linalg.svd(x, full_matrices=False)
    rank = int(np.sum(s > s[0] * max(x.shape) * np.finfo(np.float32).eps))
    return u[:, :rank], rank


def _unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows divided by their lengths, float64; zero rows stay zero."""
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
