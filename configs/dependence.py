"""Dependence: what MIR, HDR and entropies of a trained network depend on.

    python -m launch --config=configs/dependence.py:cpu --workdir=runs/dependence
        --config.run=runs/cifar10

Measures a finished run of image classification at its initial parameters, at the kept checkpoint
nearest to the middle of training, and at the end. One thing is varied at a time: batch size (with
extrapolation to all images), order of the entropies, split, centring, class balance, layer, and
what features are compared with (head rows, class means, logits, one-hot targets). The middle needs
a checkpoint: train with `--config.checkpoint_every` of half the steps.

Variants:
  cpu: 10 minutes on one core; 10,000 images of each split.
  paper: for an accelerator; all images.
  smoke: seconds; 256 images, batches of 16 and 32.
"""

from ml_collections import ConfigDict

from configs import _variants

_VARIANTS: _variants.Variants = {
    "cpu": {},
    "paper": {"images": 0},
    "smoke": {
        "images": 256,
        "batch_size": 32,
        "batch_sizes": (16, 32),
        "orders": ("1", "2"),
        "imbalances": (10.0,),
        "chance_permutations": 2,
    },
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "dependence"  # the module in launch/experiments
    config.run = ""  # directory of the run to be measured
    config.images = 10_000  # the first of each split; 0: all
    config.batch_size = 64  # while something else is varied; all images are measured as well
    config.batch_sizes = (16, 32, 64, 128, 256, 512, 1024, 2048)  # those below all images
    config.orders = ("0.5", "1", "2", "5", "inf")  # of the entropies
    config.imbalances = (10.0, 100.0)  # the largest class over the smallest, geometric between
    config.chance_permutations = 4  # at least, and at least one per batch; 2 of all images
    return _variants.apply(config, variant, _VARIANTS)
