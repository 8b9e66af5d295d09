"""Grokking on modular arithmetic: Figure 7 of Song et al. 2024 (section 5.4).

    python -m launch --config=configs/grokking.py:cpu --workdir=runs/grokking

Variants:
  cpu: 3 minutes on two cores; the paper's setting, one seed. Training accuracy passes 0.99 near
    epoch 150, test accuracy near epoch 4,600; MIR (n = 256) rises from 0.51 to 0.64 and falls to
    0.31; HDR falls to 0.04, rises to 0.24 and falls to 0.01. Of 24 other seeds, 22 reach a test
    accuracy of 0.99, between epochs 2,800 and 10,500, with HDR rising to 0.20 ± 0.07.
  paper: some 17 minutes on two cores; five seeds, 14,000 epochs. Extrapolated from `cpu`.
  smoke: seconds; modulus 13, a narrow network.
"""

from ml_collections import ConfigDict

from configs import _variants

_VARIANTS: _variants.Variants = {
    "cpu": {},
    "paper": {"seed": 0, "num_seeds": 5, "num_steps": 14_000},
    "smoke": {
        "seed": 0,
        "modulus": 13,
        "d_model": 16,
        "num_heads": 2,
        "d_mlp": 32,
        "num_steps": 60,
        "metric_batch_sizes": (16, 64),
        "population_splits": ("train", "test"),
        "eval_every": 10,
        "checkpoint_every": 20,
        "steps_per_call": 5,
    },
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper or smoke."""
    config = ConfigDict()
    config.experiment = "grokking"
    config.seed = 5
    config.num_seeds = 1  # seeds seed, seed + 1, ...; with several, each has its own directory

    config.modulus = 113
    config.operation = "a+b"  # a-b, a*b, a/b, a^2+b^2, a^2+ab+b^2, a^3+ab, random
    config.train_fraction = 0.3

    config.d_model, config.num_heads, config.d_mlp = 128, 4, 512

    config.loss = "margin"  # or "ordinary": logsumexp, whose rounding causes slingshots
    config.num_steps = 12_000  # epochs: every step sees the whole training set
    config.learning_rate = 1e-3
    config.warmup_steps = 10
    config.beta1, config.beta2 = 0.9, 0.98
    config.weight_decay = 1.0

    config.metric_batch_sizes = (64, 256)  # of the test batches for MIR and HDR, drawn once
    config.population_splits = ()  # splits with MIR and HDR of all examples; slow
    config.eval_every = 100  # at most; more often before step 1,000
    config.checkpoint_every = 500
    config.steps_per_call = 50
    return _variants.apply(config, variant, _VARIANTS)
