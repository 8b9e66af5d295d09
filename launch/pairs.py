"""MIR, HDR, entropies and chance level of two representations of the same samples, by batches."""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax import Interplay, corrected_mir, information
from infojax.training import evaluation

_OF_ALL = 2  # permutations of all samples, among which MIR hardly varies

Metrics = dict[str, float]


class Pair(NamedTuple):
    """Two representations of the same samples.

    Attributes:
      z: features, float32 [N, d].
      v: of the same samples, such as the head rows of their labels, float32 [N, e].
    """

    z: np.ndarray
    v: np.ndarray


class Batches(NamedTuple):
    """What was measured on the k full batches of a size.

    Attributes:
      shared: of each batch, every field float [k].
      permuted: MIR of batches in which v is permuted, float [m], m >= k: of every batch, then of
        the first ones again.
    """

    shared: Interplay
    permuted: np.ndarray


def of_labels(w: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the rows w[y] in min(C, d) coordinates, which keep their inner products.

    Args:
      w: one row per class, float [C, d].
      y: labels, int [N].
    """
    _, triangle = np.linalg.qr(w.astype(np.float64).T)
    return np.asarray(triangle.T, np.float32)[y]


def widened(z: np.ndarray, width: int) -> np.ndarray:
    """Returns z with zero columns added, which change no inner product."""
    return np.pad(z, ((0, 0), (0, max(0, width - z.shape[1]))))


def of_batches(pair: Pair, n: int, alpha: float, permutations: int) -> Batches:
    """Measures all full batches of n samples, in order, as they are and with v permuted.

    Args:
      pair: of at least n samples.
      n: samples per batch.
      alpha: order of the entropies.
      permutations: smallest number, unless a batch holds all samples.
    """
    number = len(pair.z) // n
    least = _OF_ALL if n == len(pair.z) else permutations
    shared, permuted = _measured(pair.z, pair.v, n, alpha, max(least, number))
    return jax.device_get(Batches(shared, permuted))


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _measured(
    z: jax.Array, v: jax.Array, n: int, alpha: float, permutations: int
) -> tuple[Interplay, jax.Array]:
    number = len(z) // n
    batches = [x[: number * n].reshape(number, n, -1) for x in (z, v)]

    def interplay(z: jax.Array, v: jax.Array) -> Interplay:
        return information.interplay(z, v, alpha)

    def permuted(i: jax.Array) -> jax.Array:
        return evaluation.permuted_mir(interplay, [x[i % number] for x in batches], i)

    shared = jax.lax.map(lambda batch: interplay(*batch), batches)
    return shared, jax.lax.map(permuted, jnp.arange(permutations))


def summarized(found: Batches) -> Metrics:
    """Returns means over batches by name, and the standard errors of MIR and HDR over them."""
    shared = found.shared
    mir, chance = np.mean(shared.mir), np.mean(found.permuted)
    metrics = {
        "mir": mir,
        "chance_mir": chance,
        "corrected_mir": corrected_mir(mir, chance),
        "hdr": np.mean(shared.hdr),
        "entropy_features": np.mean(shared.entropy_z),
        "entropy_head": np.mean(shared.entropy_v),
    }
    number = len(shared.mir)
    if number > 1:
        for name, values in (("mir", shared.mir), ("hdr", shared.hdr)):
            metrics[f"{name}_error"] = np.std(values, ddof=1) / math.sqrt(number)
    return {name: float(value) for name, value in metrics.items()}


def entropies(found: Batches, groups: int, parts: int) -> np.ndarray:
    """Returns entropies of z, of v, joint, and joint with v permuted, means over groups of batches.

    Args:
      found: of at least `groups * parts` batches, which are shared out in order.
      groups: number of groups.
      parts: batches in each.

    Returns:
      Nats, float64 [groups, 4].
    """
    z, v, joint, mir = (
        x.astype(np.float64)[: groups * parts]
        for x in (
            found.shared.entropy_z,
            found.shared.entropy_v,
            found.shared.joint_entropy,
            found.permuted,
        )
    )
    permuted = z + v - mir * np.minimum(z, v)
    return np.stack([z, v, joint, permuted], 1).reshape(groups, parts, 4).mean(1)
