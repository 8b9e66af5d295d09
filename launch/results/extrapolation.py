"""MIR of a population from batches: corrected for chance, it is nearly unbiased."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

_LARGEST_CHANCE = 0.25  # chance level of batches that resolve their features


class Extrapolation(NamedTuple):
    """An estimate of the MIR of all samples.

    Attributes:
      value: the estimate; None where one side has no entropy, or chance leaves no room.
      half_width: of the 95 % interval around it; None if the batches are too small or too few.
    """

    value: float | None
    half_width: float | None


def mir_of_population(
    entropies: np.ndarray, sizes: Sequence[int], num_samples: int
) -> Extrapolation:
    """Extrapolates MIR from batches of two sizes to all samples.

    The spectra of a batch are those of a mean of n products `x xᵀ`. Drawn without replacement from
    N samples, such a mean is unbiased and its covariance is proportional to `u = 1/n - 1/N`.
    Expanding the entropies around the moments of all samples gives `MIR(n) = MIR + a u + O(u²)`,
    and likewise a chance level `E(n) = E(N) + e u + O(u²)`, where E(N) is of order 1/N. Corrected
    MIR, `c = (MIR - E) / (1 - E)`, then has the bias

        c(n) = c + (a - e (1 - MIR)) u + O(u²).

    Its first term vanishes for unrelated labels (MIR = 0, a = e) and for samples in orthogonal
    groups (MIR = 1, a of order e / C), and is small between. A line through the corrected MIR of
    batches of n and n/2 of the same samples removes it; its value at u = 0, turned back into a MIR
    by `E(N) = E(n) (n - 1) / (N - 1)`, is the estimate.

    The half-width sums three errors: of sampling, by the jackknife over the groups of n samples
    times Student's t; of the series beyond its first term, by the correction that the line makes;
    and E(N) itself. An interval is given for three groups or more whose chance level is at most a
    quarter: above, a batch resolves neither its features nor what it shares with the head.

    Args:
      entropies: of features, of head rows, joint, and joint with permuted labels, of each group of
        n samples: means over its batches of each size, float [groups, 2, 4].
      sizes: n and n/2.
      num_samples: N, at least n.
    """
    u = 1 / np.asarray(sizes, float) - 1 / num_samples
    if not _has_scale(entropies.mean(0)):
        return Extrapolation(None, None)
    whole = _estimates(entropies.mean(0), u, sizes[0], num_samples)
    groups = len(entropies)
    if groups < 3 or whole.chance > _LARGEST_CHANCE:
        return Extrapolation(whole.line, None)
    left_out = np.array(
        [
            _estimates(np.delete(entropies, i, 0).mean(0), u, sizes[0], num_samples).line
            for i in range(groups)
        ]
    )
    error = np.sqrt((groups - 1) * np.mean((left_out - left_out.mean()) ** 2))
    sampling = special.stdtrit(groups - 1, 0.975) * error
    width = sampling + abs(whole.line - whole.constant) + whole.chance_of_all
    return Extrapolation(whole.line, float(width))


def _has_scale(entropies: np.ndarray) -> bool:
    """Whether both sides vary, and MIR of permuted samples is below 1."""
    of_features, of_head, _, permuted = entropies.T
    smaller = np.minimum(of_features, of_head)
    return bool(np.all(smaller > 1e-6) and np.all(np.maximum(of_features, of_head) < permuted))


class _Estimates(NamedTuple):
    """MIR of all samples without and with the line; chance levels of n samples and of all."""

    constant: float
    line: float
    chance: float
    chance_of_all: float


def _estimates(entropies: np.ndarray, u: np.ndarray, n: int, num_samples: int) -> _Estimates:
    of_features, of_head, joint, permuted = entropies.T
    smaller = np.minimum(of_features, of_head)
    mir, chance = ((of_features + of_head - h) / smaller for h in (joint, permuted))
    corrected = (mir - chance) / (1 - chance)
    slope = (corrected[1] - corrected[0]) / (u[1] - u[0])
    of_all = chance[0] * (n - 1) / (num_samples - 1)
    constant, line = (
        of_all + (1 - of_all) * c for c in (corrected[0], corrected[0] - slope * u[0])
    )
    return _Estimates(float(constant), float(line), float(chance[0]), float(of_all))
