"""Linear mode connectivity: MIR and HDR between two networks, figures 3 and 4 of Song et al. 2024.

    python -m launch --config=configs/mode_connectivity.py:cpu --workdir=runs/mode_connectivity

Pairs of networks of one initialisation, trained on other orders and augmentations of the data; the
straight line between them at 30 points, with BatchNorm statistics that are interpolated, recomputed
from training batches, or those of the first network.

Variants:
  cpu: CIFAR-10, a strided WideResNet-10-1, three learning rates, two pairs each; 33 minutes of
    one core. Error barriers at 3e-2, 3e-3, 3e-4: 0.35, 0.07, 0.002 with interpolated statistics,
    0.14, 0.04, 0.002 with recomputed ones.
  paper: CIFAR-10, WideResNet-28-2.
  paper_cifar100: CIFAR-100, WideResNet-28-8.
  smoke: digits, seconds.
"""

from ml_collections import ConfigDict

from configs import supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper, paper_cifar100 or smoke."""
    config = supervised.base("cifar100" if variant == "paper_cifar100" else "cifar10")
    config.experiment = "mode_connectivity"
    config.learning_rates = (3e-2, 3e-3, 3e-4)
    config.fork_step = 0  # updates that both networks share
    config.endpoints_dir = ""  # where networks are kept and looked for; empty: in the run
    config.num_omegas = 30
    config.treatments = ("interpolated", "recomputed", "first")  # of BatchNorm statistics
    config.recompute_batches = 100  # training batches of batch_size images
    config.population_splits = ("test",)
    config.num_seeds = 3  # pairs
    if variant == "cpu":
        supervised.small(config)
        config.batch_size, config.num_steps = 64, 3200
        config.eval_every = config.checkpoint_every = 400
        config.recompute_batches = 40
        config.num_seeds = 2
    elif variant == "paper_cifar100":
        config.width = 8
        config.learning_rates = (3e-2,)
    elif variant == "smoke":
        supervised.smoke(config)
        config.learning_rates = (3e-2, 3e-3)
        config.num_omegas, config.recompute_batches = 5, 2
        config.num_seeds = 2
    elif variant != "paper":
        raise ValueError(f"unknown variant {variant!r}; use paper_cifar100, cpu, paper or smoke")
    del config.learning_rate  # in favour of learning_rates
    return config
