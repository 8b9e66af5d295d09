"""Information losses against cross-entropy alone, Table 2 of Song et al. 2024.

    python -m launch --config=configs/information_loss.py:cpu --workdir=runs/information_loss

The loss of a batch is CE - λ_mi I + λ_id |ΔH|. The paper does not give the weights; this is a grid
of them, on the same seeds.

Variants:
  cpu: 25 minutes on two cores; seven points, three seeds. A WideResNet-10-1 of stride 2, three
    epochs. Test accuracy is 0.70 at all points but (0, 1), where it is 0.013 lower; MIR (n = 64)
    rises from 0.48 to 0.80 with λ_mi = 1, HDR falls from 0.11 to 0.02 with λ_id = 0.1.
  long: 10 hours on one core; thirty epochs, five seeds. Label smoothing and information losses, of
    one weight each. The time is worked out from that of cpu; it was not run to its end.
  paper: for an accelerator; WideResNet-28-2, 2^20 steps per point.
  smoke: seconds; digits, two points.
"""

from ml_collections import ConfigDict

from configs import supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, long, paper or smoke."""
    if variant == "long":
        return _long()
    return supervised.grid(
        variant,
        fields=("mi_weight", "id_weight"),
        points=(
            (0.0, 0.0),
            (0.01, 0.0),
            (0.1, 0.0),
            (1.0, 0.0),
            (0.0, 0.1),
            (0.0, 1.0),
            (0.1, 0.1),
        ),
        smoke_points=((0.0, 0.0), (0.1, 0.1)),
    )


def _long() -> ConfigDict:
    none, smoothed = (0.0, 0.0, 0.0), ((0.1, 0.0, 0.0), (0.5, 0.0, 0.0))
    points = (none, *smoothed, (0.0, 0.1, 0.0), (0.0, 0.0, 0.1))
    config = supervised.grid("cpu", ("label_smoothing", "mi_weight", "id_weight"), points, (none,))
    config.num_steps, config.eval_every, config.num_seeds = 12_000, 1_200, 5
    return config
