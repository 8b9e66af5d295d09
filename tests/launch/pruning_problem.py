"""A small pruning study on digits, and the weights of its networks."""

import jax
import numpy as np

from configs import pruning as configs
from launch import fine_tuning
from launch.experiments import pruning

SETTINGS = {"num_seeds": 1, "num_steps": 40, "eval_every": 40, "checkpoint_every": 40}
# Kernels of WideResNet-10-1 on images of one channel, without the head.
KERNELS = 9 * (16 + 16 * 16 * 2 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64) + 16 * 32 + 32 * 64


def smoke(**changes):
    config = configs.get_config("smoke")
    config.update(SETTINGS | changes)
    return config


def build():
    """The compiled functions of the study."""
    config = smoke()
    return fine_tuning.build(config, pruning.finetune_config(config))


def kernels(tree):
    """Prunable weights in the order of the flattened tree, as one vector."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    chosen = [x for path, x in leaves if np.ndim(x) > 1 and path[0].key != "head"]
    return np.concatenate([np.ravel(x) for x in chosen])


def others(tree):
    """All other parameters, as one vector."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    chosen = [x for path, x in leaves if np.ndim(x) < 2 or path[0].key == "head"]
    return np.concatenate([np.ravel(x) for x in chosen])
