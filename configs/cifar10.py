"""CIFAR-10: accuracy, MIR and HDR over training, figures 1 and 2 of Song et al. 2024.

python -m launch --config=configs/cifar10.py:cpu --workdir=runs/cifar10
"""

from ml_collections import ConfigDict

from configs import supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar10")
    if variant == "cpu":
        supervised.medium(config)
    elif variant == "smoke":
        supervised.smoke(config)
    elif variant != "paper":
        raise ValueError(f"unknown variant {variant!r}; use cpu, paper or smoke")
    return config
