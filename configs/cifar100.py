"""CIFAR-100: accuracy, MIR and HDR during training, Figures 1 and 2 of Song et al. 2024.

    python -m launch --config=configs/cifar100.py:cpu --workdir=runs/cifar100

Variants:
  cpu: 6 minutes on two cores; network and steps of cifar10:cpu. Test accuracy 0.53; MIR of batches
    of 64, nearly all of it chance, is 0.77 before and after training; MIR of all test images rises
    from 0.13 to 0.23; HDR falls from 0.76 to 0.20.
  paper: for an accelerator; WideResNet-28-8, 2^20 steps. Batches of 64.
  smoke: seconds; digits.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar100")
    config.width = 8
    return _variants.apply(config, variant, supervised.VARIANTS)
