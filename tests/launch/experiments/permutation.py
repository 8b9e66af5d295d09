"""Permuted copies of a network, which compute the same function."""

import jax
import numpy as np

from launch.experiments.mode_connectivity import Network


def _reordered(layer, order, axis=-1):
    return {name: np.take(x, order, axis if np.ndim(x) > 1 else -1) for name, x in layer.items()}


def permuted(network, orders):
    """WideResNet-10-1 with all its channels in another order.

    Args:
      network: parameters and state.
      orders: of the channels between blocks (of each group) and within them.
    """
    params = jax.tree.map(np.asarray, network.params)
    stats = jax.tree.map(np.asarray, network.model_state["batch_stats"])
    stream = orders["stem"]
    params["stem"] = _reordered(params["stem"], stream)
    for name in ("group0_block0", "group1_block0", "group2_block0"):
        block, own, inner = params[name], stats[name], orders[f"{name} inside"]
        after = orders[name] if "shortcut" in block else stream
        for tree in (block, own):
            tree["norm1"] = _reordered(tree["norm1"], stream)
            tree["norm2"] = _reordered(tree["norm2"], inner)
        for layer, before, behind in (
            ("conv1", stream, inner),
            ("conv2", inner, after),
            ("shortcut", stream, after),
        ):
            if layer in block:
                block[layer] = _reordered(_reordered(block[layer], before, 2), behind)
        stream = after
    params["norm"], stats["norm"] = (_reordered(t["norm"], stream) for t in (params, stats))
    params["head"]["kernel"] = params["head"]["kernel"][stream]
    return Network(params, {"batch_stats": stats})
