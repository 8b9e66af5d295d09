"""Pruning: MIR and HDR between the features before and after, Figure 6 of Song et al. 2024.

    python -m launch --config=configs/pruning.py:cpu --workdir=runs/pruning

A trained network is pruned by global magnitude and fine-tuned under a fixed mask. It is also pruned
gradually during fine-tuning and, as a control, by a random mask of the same sparsity.

Variants:
  cpu: 32 minutes on one core; CIFAR-10, two seeds. A WideResNet-10-1 of stride 2. Accuracy 0.77
    before pruning, 0.74 at 80 % and 0.59 at 90 % sparsity; MIR between the features before and
    after (n = 64) stays at 0.53 to 0.55.
  paper: for an accelerator; CIFAR-10, WideResNet-28-2. All kernels are pruned as in the paper,
    which does not say how long it fine-tunes.
  smoke: seconds; digits.
"""

from ml_collections import ConfigDict

from configs import _variants, supervised

_VARIANTS: _variants.Variants = {
    "cpu": supervised.SMALL
    | {
        "finetune_steps": 200,
        "finetune_learning_rate": 0.02,
        "gradual_steps": 150,
        "mask_every": 10,
        "num_steps": 2400,
        "eval_every": 800,
        "checkpoint_every": 200,
        "num_seeds": 2,
    },
    "paper": supervised.PAPER | {"prune_head": True},
    "smoke": supervised.SMOKE
    | {
        "sparsities": (0.0, 0.5, 0.9),
        "finetune_steps": 6,
        "finetune_learning_rate": 0.02,
        "gradual_steps": 4,
        "mask_every": 2,
        "metric_batch_sizes": (32, 64),
        "num_seeds": 2,
    },
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar10")
    config.experiment = "pruning"  # the module in launch/experiments
    config.trained = ""  # a run of the same network with these seeds; empty: train it first
    config.sparsities = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)  # shares
    config.methods = ("one_shot", "gradual", "random")  # the first two by magnitude
    config.prune_head = False  # biases and BatchNorm are never pruned
    config.finetune_steps = 20_000  # updates after pruning
    config.finetune_learning_rate = 3e-3  # at the first of these updates
    config.gradual_steps = 15_000  # fine-tuning steps during which the sparsity of gradual grows
    config.mask_every = 500  # steps between masks of gradual
    config.metric_batch_sizes = (64, 512)
    config.num_seeds = 3
    return _variants.apply(config, variant, _VARIANTS)
