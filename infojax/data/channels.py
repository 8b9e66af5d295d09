"""Mean and standard deviation of the channels of a training split, to standardise inputs with.

Both are float32 [channels]; the standard deviation of a constant channel is 1, so that it can be
divided by.
"""

import numpy as np

_ROWS = 4096  # embeddings that are summed at once, in float64
Moments = tuple[np.ndarray, np.ndarray]


def of_counts(counts: np.ndarray) -> Moments:
    """Returns the moments of images in units of 255.

    Args:
      counts: how often each of the 256 values occurs, [channels, 256].
    """
    share = counts / np.sum(counts[0])
    values = np.arange(256) / 255
    mean = share @ values
    std = np.sqrt(share @ values**2 - mean**2)
    return mean.astype(np.float32), _divisor(std)


def of_embeddings(x: np.ndarray) -> Moments:
    """Returns the moments of embeddings float32 [n, 1, 1, d]."""
    rows = x.reshape(len(x), -1)
    first = rows[0].astype(np.float64)  # subtracting it leaves exact zeros for a constant
    parts = [rows[start : start + _ROWS] for start in range(0, len(rows), _ROWS)]
    shift = sum(np.sum(part - first, 0) for part in parts) / len(rows)
    squares = sum(np.sum((part - first - shift) ** 2, 0) for part in parts)
    return (first + shift).astype(np.float32), _divisor(np.sqrt(squares / len(rows)))


def _divisor(std: np.ndarray) -> np.ndarray:
    single = std.astype(np.float32)
    return np.where(single < np.finfo(np.float32).tiny, np.float32(1), single)
