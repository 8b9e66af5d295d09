"""Pruning: MIR and HDR between the features before and after, figure 6 of Song et al. 2024.

    python -m launch --config=configs/pruning.py:cpu --workdir=runs/pruning

A trained network is pruned by global magnitude and fine-tuned with the mask held; besides, it is
pruned gradually while it is fine-tuned, and as a control by a random mask of the same sparsity.

Variants:
  cpu: CIFAR-10, a strided WideResNet-10-1, two seeds; 32 minutes of one core. Accuracy 0.77 whole,
    0.74 at 80 % and 0.59 at 90 % sparsity; MIR before and after (n = 64) 0.53 to 0.55 all the way.
  paper: CIFAR-10, WideResNet-28-2, all kernels pruned as in the paper, which does not say how long
    it fine-tunes.
  smoke: digits, seconds.
"""

from ml_collections import ConfigDict

from configs import supervised


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = supervised.base("cifar10")
    config.experiment = "pruning"
    config.trained = ""  # a run of the same network, with these seeds; empty: train it first
    config.sparsities = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98)
    config.methods = ("one_shot", "gradual", "random")
    config.prune_head = False  # biases and BatchNorm never are
    config.finetune_steps = 20_000
    config.finetune_learning_rate = 3e-3
    config.gradual_steps = 15_000  # of fine-tuning, during which the sparsity of `gradual` grows
    config.mask_every = 500  # steps between its masks
    config.metric_batch_sizes = (64, 512)
    config.num_seeds = 3
    if variant == "cpu":
        supervised.small(config)
        config.finetune_steps, config.finetune_learning_rate = 200, 0.02
        config.gradual_steps, config.mask_every = 150, 10
        config.num_steps = 2400
        config.eval_every, config.checkpoint_every = 800, 200
        config.num_seeds = 2
    elif variant == "paper":
        config.prune_head = True
    elif variant == "smoke":
        supervised.smoke(config)
        config.sparsities = (0.0, 0.5, 0.9)
        config.finetune_steps, config.finetune_learning_rate = 6, 0.02
        config.gradual_steps, config.mask_every = 4, 2
        config.metric_batch_sizes = (32, 64)
        config.num_seeds = 2
    else:
        raise ValueError(f"unknown variant {variant!r}; use cpu, paper or smoke")
    return config
