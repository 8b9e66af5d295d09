"""CIFAR-100: accuracy, MIR and HDR during training, Figures 1 and 2 of Song et al. 2024.

    python -m launch --config=configs/cifar100.py:cpu --workdir=runs/cifar100

Variants:
  cpu: the network and steps of CIFAR-10's cpu variant; about 6 minutes on two cores.
  paper: WideResNet-28-8, batches of 64, 2^20 steps; for an accelerator.
  smoke: digits, seconds.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar100")
    config.width = 8
    return _variants.apply(config, variant, supervised.VARIANTS)
