"""Examples divided over devices."""

from typing import TypeVar

import jax
import numpy as np

Tree = TypeVar("Tree")


def shard_padded(batch: Tree, num_devices: int) -> tuple[Tree, np.ndarray]:
    """Splits arrays [n, ...] into [devices, m, ...], padding n to a multiple of the devices.

    Returns:
      The arrays, and weights float32 [devices, m]: zero for padding, and such that the mean over
      devices of `Σ weights · loss` is the mean loss over the n examples.
    """
    leaves = jax.tree.leaves(batch)
    n = len(leaves[0])
    m = -(-n // num_devices)
    index = np.minimum(np.arange(m * num_devices), n - 1).reshape(num_devices, m)
    weights = np.where(np.arange(m * num_devices) < n, num_devices / n, 0).astype(np.float32)
    return jax.tree.map(lambda x: x[index], batch), weights.reshape(num_devices, m)
