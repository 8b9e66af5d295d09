"""Grokking on modular arithmetic: Figure 7 of Song et al. 2024 (section 5.4).

    python -m launch --config=configs/grokking.py:cpu --workdir=runs/grokking

Variants:
  cpu: the paper's setting, one seed; 3 minutes on two cores. Training accuracy passes 0.99
    near epoch 150 and test accuracy near epoch 4,600; MIR (n = 256) rises from 0.51 to 0.64 and
    falls to 0.31; HDR falls to 0.04, rises to 0.24 and falls to 0.01. 24 other seeds: 22 reach a
    test accuracy of 0.99, between epochs 2,800 and 10,500, with HDR rising to 0.20 +- 0.07.
  paper: seeds 0 to 4, to epoch 14,000; some 17 minutes, by the time of `cpu`.
  smoke: modulus 13, a narrow net, seconds.
"""

from ml_collections import ConfigDict


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "grokking"
    config.seed = 5
    config.num_seeds = 1  # seeds seed, seed + 1, ...; with several, each has a directory of its own

    config.modulus = 113
    config.operation = "a+b"  # a-b, a*b, a/b, a^2+b^2, a^2+ab+b^2, a^3+ab, random
    config.train_fraction = 0.3

    config.d_model = 128
    config.num_heads = 4
    config.d_mlp = 512

    config.loss = "margin"  # or "ordinary": logsumexp, whose rounding causes slingshots
    config.num_steps = 12_000  # epochs: every step sees the whole training set
    config.learning_rate = 1e-3
    config.warmup_steps = 10
    config.beta1 = 0.9
    config.beta2 = 0.98
    config.weight_decay = 1.0

    config.metric_batch_sizes = (64, 256)  # test batches for MIR and HDR, fixed during the run
    config.population_splits = ()  # splits whose MIR and HDR are those of all examples: slow
    config.eval_every = 100  # at most; denser before 1,000
    config.checkpoint_every = 500
    config.steps_per_call = 50

    if variant == "paper":
        config.seed, config.num_seeds = 0, 5
        config.num_steps = 14_000
    elif variant == "smoke":
        config.seed = 0
        config.population_splits = ("train", "test")
        config.modulus = 13
        config.d_model, config.num_heads, config.d_mlp = 16, 2, 32
        config.num_steps = 60
        config.metric_batch_sizes = (16, 64)
        config.eval_every = 10
        config.checkpoint_every = 20
        config.steps_per_call = 5
    elif variant != "cpu":
        raise ValueError(f"unknown variant {variant!r}; use cpu, paper or smoke")
    return config
