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
  smoke: seconds; digits, two seeds.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised

_FIVE = {"num_seeds": 5, "population_splits": ("test",)}
_VARIANTS: _variants.Variants = {
    "cpu": supervised.SMALL | _FIVE | {"eval_every": 100},
    "paper": supervised.PAPER | _FIVE,
    "smoke": supervised.SMOKE | {"similarity_images": 60, "num_seeds": 2},
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar10")
    config.experiment = "similarity"  # the module in launch/experiments
    config.similarity_images = 2_000  # of the evaluated split, compared with each other
    return _variants.apply(config, variant, _VARIANTS)
