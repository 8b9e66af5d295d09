"""CIFAR-10: accuracy, MIR and HDR during training, Figures 1 and 2 of Song et al. 2024.

    python -m launch --config=configs/cifar10.py:cpu --workdir=runs/cifar10

Variants:
  cpu: 6 minutes on two cores; WideResNet-10-2, 7.7 epochs. All 50,000 images; the first group of
    the network has stride 2. Test accuracy 0.83; MIR of batches of 64 rises from 0.33 to 0.53, HDR
    falls from 0.64 to 0.01 at step 1,950 and ends at 0.02; MIR of all test images ends at 0.34.
  paper: for an accelerator; WideResNet-28-2, 2^20 steps. Batches of 64.
  smoke: seconds; digits.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    return _variants.apply(supervised.base("cifar10"), variant, supervised.VARIANTS)
