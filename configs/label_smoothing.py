"""Label smoothing: accuracy, MIR and HDR against ε, Figure 5 of Song et al. 2024.

    python -m launch --config=configs/label_smoothing.py:cpu --workdir=runs/label_smoothing

Variants:
  cpu: 20 minutes on two cores; six ε, three seeds. A WideResNet-10-1 of stride 2, three epochs.
    From ε = 0 to 0.9 test accuracy falls from 0.69 to 0.46 (0.70 at 0.1), MIR (n = 64) rises from
    0.48 to 0.52 and falls to 0.36, HDR rises from 0.12 to 0.39.
  paper: for an accelerator; WideResNet-28-2, 2^20 steps per point.
  smoke: seconds; digits, two points.
"""

from ml_collections import ConfigDict

from configs import supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    return supervised.grid(
        variant,
        fields=("label_smoothing",),
        points=((0.0,), (0.1,), (0.3,), (0.5,), (0.7,), (0.9,)),
        smoke_points=((0.0,), (0.5,)),
    )
