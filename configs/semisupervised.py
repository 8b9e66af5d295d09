"""Few labels: FixMatch, FreeMatch and information losses, table 1 of Song et al. 2024.

    python -m launch --config=configs/semisupervised.py:cpu --workdir=runs/semisupervised
    python -m launch --config=configs/semisupervised.py:cpu-grid --workdir=runs/semisupervised_grid

Variants: smoke, cpu (digits), paper (CIFAR-10), paper-cifar100 and paper-stl10. With `-grid` after
it, a variant compares the methods on the same labelled sets.

The runs of cpu-grid add up to 43 minutes, each on one busy core. With 20 labels, over three draws
of them, the accuracy was 0.947 ± 0.003 (FreeMatch), 0.865 ± 0.009 (FixMatch), 0.787 ± 0.008 (the
20 labels alone) and 0.989 (all labels). The information losses made no difference outside its
interval: -0.004 [-0.020, +0.012] with λ_mi = 0.1, -0.007 [-0.015, +0.001] with λ_id = 0.1.

The paper gives neither λ_mi nor λ_id, nor says which samples enter the information losses: here
the labelled images with their labels and the strongly augmented ones that pass the threshold with
their pseudo-labels.
"""

from ml_collections import ConfigDict

from configs import supervised

_NOT_HERE = ("accumulate_steps", "information_terms", "label_smoothing")


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant; see above."""
    config = _base()
    name = variant.removesuffix("-grid")
    if name == "smoke":
        _smoke(config)
    elif name == "cpu":
        _digits(config)
    elif name == "paper-cifar100":
        config.dataset, config.num_labels = "cifar100", 400
        config.width, config.weight_decay = 8, 1e-3
    elif name == "paper-stl10":
        config.dataset = "stl10"
        config.num_groups, config.first_stride, config.crop_padding = 4, 2, 12
    elif name != "paper":
        raise ValueError(
            f"unknown variant {variant!r}; use cpu, paper, paper-cifar100, paper-stl10 or smoke, "
            "with or without -grid"
        )
    if name != variant:
        _grid(config)
        if name == "smoke":
            config.points = (config.points[0], config.points[4])
            config.num_seeds = 2
    return config


def _base() -> ConfigDict:
    """The settings of FreeMatch on CIFAR-10, as in USB."""
    config = supervised.base("cifar10")
    for name in _NOT_HERE:
        del config[name]
    config.experiment = "semisupervised"
    config.method = "freematch"  # or fixmatch, or supervised: on the labelled images alone
    config.num_labels = 40  # a multiple of the classes; 0: all labels
    config.label_seed = 0  # of the first seed's labelled images; seed + k takes label_seed + k
    config.unlabelled_ratio = 7  # unlabelled images a labelled one, in a batch
    config.threshold_momentum = 0.999  # FreeMatch's
    config.fixed_threshold = 0.95  # FixMatch's
    config.unsupervised_weight = 1.0
    config.fairness_weight = 0.001
    return config


def _grid(config: ConfigDict) -> None:
    """Methods on the same labelled sets; the first is the one that others are compared with."""
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
    config.table_metrics = (
        "test/accuracy",
        "test/best_accuracy",
        f"test/mir_{m}",
        f"test/hdr_{m}",
    )
    config.num_seeds = 3


def _smoke(config: ConfigDict) -> None:
    supervised.smoke(config)
    config.train_size = 0
    config.num_labels = 20
    config.batch_size, config.unlabelled_ratio = 16, 2
    config.threshold_momentum = 0.9


def _digits(config: ConfigDict) -> None:
    """Digits with a WideResNet-10-1."""
    config.dataset = "digits"
    config.flip, config.crop_padding = False, 1
    config.num_labels = 20
    config.depth, config.width = 10, 1
    config.batch_size, config.unlabelled_ratio = 32, 3
    config.num_steps = 600
    config.learning_rate = 0.03
    config.batchnorm_decay = config.ema_decay = config.threshold_momentum = 0.99
    config.eval_every = 100
    config.eval_batch_size = 384
    config.population_splits = ("test",)
    config.checkpoint_every = 200
    config.steps_per_call = 20
