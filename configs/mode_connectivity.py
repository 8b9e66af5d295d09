"""MIR and HDR between two networks, Figures 3 and 4 of Song et al. 2024.

    python -m launch --config=configs/mode_connectivity.py:cpu --workdir=runs/mode_connectivity

Linear mode connectivity: two networks start from the same parameters and see the data in different
orders and augmentations. MIR and HDR are measured at 30 points on the straight line between them,
with BatchNorm statistics that are interpolated, recomputed from training batches, or taken from the
first network.

Variants:
  cpu: 33 minutes on one core; three learning rates, two pairs. CIFAR-10, a WideResNet-10-1 of
    stride 2. Error barriers at 3e-2, 3e-3, 3e-4: 0.35, 0.07, 0.002 with interpolated statistics,
    0.14, 0.04, 0.002 with recomputed ones.
  crossing: 136 minutes on one core; longer training, five pairs. A WideResNet-10-2, 3,000 steps of
    128 images, learning rate 0.1: on the line the entropies of features and head cross, and HDR
    touches 0.
  vit: 45 minutes on one core; without BatchNorm, five pairs. Learning rate 3e-2: error barriers of
    0.02 to 0.03, no dip of HDR.
  cifar100: 73 minutes on one core; CIFAR-100, five pairs. Learning rate 3e-2; error barriers of
    0.20 with interpolated statistics, 0.10 with recomputed ones.
  paper: for an accelerator; CIFAR-10, WideResNet-28-2.
  paper_cifar100: for an accelerator; CIFAR-100, WideResNet-28-8.
  smoke: seconds; digits.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised

_SMALL = supervised.SMALL | {
    "batch_size": 64,
    "num_steps": 3200,
    "eval_every": 400,
    "checkpoint_every": 400,
    "recompute_batches": 40,
}
_FIVE = _SMALL | {"learning_rates": (3e-2,), "num_seeds": 5}
_VARIANTS: _variants.Variants = {
    "cpu": _SMALL | {"num_seeds": 2},
    "paper": supervised.PAPER,
    "paper_cifar100": supervised.PAPER
    | {"dataset": "cifar100", "width": 8, "learning_rates": (3e-2,)},
    "crossing": _FIVE
    | {"width": 2, "batch_size": 128, "num_steps": 3000, "learning_rates": (0.1,)},
    "vit": _FIVE | {"model": "vit"},
    "cifar100": _FIVE | {"dataset": "cifar100"},
    "smoke": supervised.SMOKE
    | {"learning_rates": (3e-2, 3e-3), "num_omegas": 5, "recompute_batches": 2, "num_seeds": 2},
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper, smoke, or another of those above."""
    config = supervised.base("cifar10")
    config.experiment = "mode_connectivity"  # the module in launch/experiments
    config.learning_rates = (3e-2, 3e-3, 3e-4)  # a pair of networks for each
    config.fork_step = 0  # updates that both networks share
    config.endpoints_dir = ""  # where networks are saved and looked for; empty: in the run
    config.num_omegas = 30  # points of the line, ω from 0 to 1
    config.treatments = ("interpolated", "recomputed", "first")  # of BatchNorm statistics
    config.recompute_batches = 100  # training batches of batch_size images
    config.population_splits = ("test",)
    config.num_seeds = 3  # pairs
    _variants.apply(config, variant, _VARIANTS)
    del config.learning_rate  # in favour of learning_rates
    return config
