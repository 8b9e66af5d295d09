"""Information losses against the plain baseline, table 2 of Song et al. 2024.

    python -m launch --config=configs/information_loss.py:cpu --workdir=runs/information_loss

The loss is CE - λ_mi I + λ_id |ΔH|, on the batch. The paper does not give its weights: this is a
grid of them, on the same seeds.

Variants:
  cpu: seven points, three seeds of a WideResNet-10-1 of stride 2, three epochs; about 25 minutes on
    two cores. Test accuracy is 0.70 at all points but (0, 1), where it is 0.013 lower; MIR (n = 64)
    goes from 0.48 to 0.80 with λ_mi = 1, HDR from 0.11 to 0.02 with λ_id = 0.1.
  paper: WideResNet-28-2, 2^20 steps a point; for an accelerator.
  smoke: digits, seconds.
"""

from ml_collections import ConfigDict

from configs import supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar10")
    config.experiment = "sweep"
    config.point_experiment = "supervised"
    config.fields = ("mi_weight", "id_weight")
    config.points = (  # the first is the baseline
        (0.0, 0.0),
        (0.01, 0.0),
        (0.1, 0.0),
        (1.0, 0.0),
        (0.0, 0.1),
        (0.0, 1.0),
        (0.1, 0.1),
    )
    config.table_metrics = ("test/accuracy", "test/mir_64", "test/hdr_64")
    config.num_seeds = 3
    if variant == "cpu":
        supervised.small(config)
    elif variant == "smoke":
        supervised.smoke(config)
        config.points = ((0.0, 0.0), (0.1, 0.1))
        config.table_metrics = ("test/accuracy", "test/mir_32", "test/hdr_32")
        config.num_seeds = 2
    elif variant != "paper":
        raise ValueError(f"unknown variant {variant!r}; use cpu, paper or smoke")
    return config
