"""Matrix entropy as a measure of similarity and clustering, arXiv:2409.16767.

    python -m launch --config=configs/similarity.py:cpu --workdir=runs/similarity

Entropies within classes, of class means, of all features and of head rows, beside mean cosines
within and between classes, NMI of k-means, silhouette and NC1, over training; whether MIR and HDR
predict the accuracy of a left-out seed better than either entropy; and how tight the rank bound of
Song et al. 2024, theorem 4.6, is.

Variants:
  cpu: 18 minutes on one core; five seeds, three epochs. A WideResNet-10-1 of stride 2.
    Entropy is low where cosines are high; entropy within classes rises with accuracy; MIR, HDR and
    the entropy of the features predict accuracy equally well, with errors of 0.02.
  paper: for an accelerator; WideResNet-28-2, 2^20 steps. Five seeds.
  networks: 60 minutes on one core; four kinds, three seeds each. How well each measure predicts the
    accuracy of a kind that was left out.
  smoke: seconds; digits, two seeds.
  smoke-grid: seconds; digits, three kinds of networks.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised

_FIVE = {"num_seeds": 5, "population_splits": ("test",)}
_FEW = {"similarity_images": 60, "num_seeds": 2}
_VARIANTS: _variants.Variants = {
    "cpu": supervised.SMALL | _FIVE | {"eval_every": 100},
    "paper": supervised.PAPER | _FIVE,
    "networks": supervised.SMALL | _FIVE | {"eval_every": 100, "num_seeds": 3},
    "smoke": supervised.SMOKE | _FEW,
    "smoke-grid": supervised.SMOKE | _FEW,
}
_NETWORKS = (
    ("wide_resnet", 1, 0.1),
    ("wide_resnet", 2, 0.1),
    ("mlp", 1, 0.03),
    ("vit", 1, 0.03),
)
_POINTS = {"networks": _NETWORKS, "smoke-grid": (_NETWORKS[0], *_NETWORKS[2:])}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper, networks, smoke or smoke-grid."""
    config = supervised.base("cifar10")
    config.experiment = "similarity"  # the module in launch/experiments
    config.similarity_images = 2_000  # of the evaluated split, compared with each other
    _variants.apply(config, variant, _VARIANTS)
    if variant in _POINTS:
        config.experiment, config.point_experiment = "sweep", "similarity"  # of the grid, a point
        config.fields = ("model", "width", "learning_rate")
        config.points = _POINTS[variant]
        n = config.metric_batch_sizes[0]
        config.table_metrics = ("test/accuracy", f"test/mir_{n}", "test/entropy_features")
    return config
