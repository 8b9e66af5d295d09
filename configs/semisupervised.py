"""Few labels: FixMatch, FreeMatch and information losses, Table 1 of Song et al. 2024.

    python -m launch --config=configs/semisupervised.py:cpu --workdir=runs/semisupervised
    python -m launch --config=configs/semisupervised.py:cpu-grid --workdir=runs/semisupervised_grid

Variants:
  cpu: 2.5 minutes on one core; digits, 20 labels, FreeMatch.
  cpu-grid: 43 minutes on one core; six methods, three labelled sets. With 20 labels, over three
    draws of the labelled set, the accuracy was 0.947 ± 0.003 (FreeMatch), 0.865 ± 0.009 (FixMatch),
    0.787 ± 0.008 (the 20 labels alone) and 0.989 (all labels). The information losses made no
    difference outside the confidence interval: -0.004 [-0.020, +0.012] with λ_mi = 0.1, -0.007
    [-0.015, +0.001] with λ_id = 0.1.
  paper: for an accelerator; CIFAR-10, 40 labels.
  paper-cifar100: for an accelerator; CIFAR-100, 400 labels.
  paper-stl10: for an accelerator; STL-10, 40 labels.
  smoke: seconds; digits, 20 labels.

With the suffix `-grid`, each variant compares the methods on the same labelled sets.

The paper gives neither λ_mi and λ_id nor the samples that enter the information losses: here the
labelled images with their labels and the strongly augmented ones that pass the threshold with their
pseudo-labels.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised

_UNUSED = ("accumulate_steps", "information_terms", "label_smoothing")  # settings of the base

_VARIANTS: _variants.Variants = {
    "cpu": supervised.DIGITS
    | {
        "num_labels": 20,
        "depth": 10,
        "width": 1,
        "batch_size": 32,
        "unlabelled_ratio": 3,
        "num_steps": 600,
        "learning_rate": 0.03,
        "batchnorm_decay": 0.99,
        "ema_decay": 0.99,
        "threshold_momentum": 0.99,
        "eval_every": 100,
        "eval_batch_size": 384,
        "population_splits": ("test",),
        "checkpoint_every": 200,
        "steps_per_call": 20,
    },
    "paper": supervised.PAPER,
    "paper-cifar100": supervised.PAPER
    | {"dataset": "cifar100", "num_labels": 400, "width": 8, "weight_decay": 1e-3},
    "paper-stl10": supervised.PAPER
    | {"dataset": "stl10", "num_groups": 4, "first_stride": 2, "crop_padding": 12, "vit_patch": 8},
    "smoke": supervised.SMOKE
    | {
        "train_size": 0,
        "num_labels": 20,
        "batch_size": 16,
        "unlabelled_ratio": 2,
        "threshold_momentum": 0.9,
    },
}
_GRIDS = {f"{name}-grid": changes for name, changes in _VARIANTS.items()}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant; see above."""
    config = _variants.apply(_base(), variant, {**_VARIANTS, **_GRIDS})
    if variant in _GRIDS:
        _add_grid(config)
    if variant == "smoke-grid":
        config.points = (config.points[0], config.points[4])
        config.num_seeds = 2
    return config


def _base() -> ConfigDict:
    """The settings of FreeMatch on CIFAR-10, as in USB."""
    config = supervised.base("cifar10")
    for name in _UNUSED:
        del config[name]
    config.experiment = "semisupervised"  # the module in launch/experiments
    config.method = "freematch"  # or fixmatch, or supervised: labelled images alone
    config.num_labels = 40  # a multiple of the number of classes; 0: all labels
    config.label_seed = 0  # of the first seed's labelled images; seed + k uses label_seed + k
    config.unlabelled_ratio = 7  # unlabelled images per labelled one in a batch
    config.threshold_momentum = 0.999  # FreeMatch's
    config.fixed_threshold = 0.95  # FixMatch's
    config.unsupervised_weight = 1.0  # of the loss on pseudo-labels
    config.fairness_weight = 0.001  # of FreeMatch's fairness loss
    return config


def _add_grid(config: ConfigDict) -> None:
    """Compares methods on the same labelled sets; the first point is the baseline."""
    config.experiment = "sweep"
    config.point_experiment = "semisupervised"
    config.fields = ("method", "num_labels", "mi_weight", "id_weight")
    n = config.num_labels
    config.points = (
        ("freematch", n, 0.0, 0.0),
        ("freematch", n, 0.1, 0.0),
        ("freematch", n, 0.0, 0.1),
        ("fixmatch", n, 0.0, 0.0),
        ("supervised", n, 0.0, 0.0),
        ("supervised", 0, 0.0, 0.0),
    )
    m = config.metric_batch_sizes[0]
    config.table_metrics = ("test/accuracy", "test/best_accuracy", f"test/mir_{m}", f"test/hdr_{m}")
    config.num_seeds = 3
