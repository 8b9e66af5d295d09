"""Grokking on modular arithmetic: Figure 7 of Song et al. 2024 (section 5.4).

    python -m launch --config=configs/grokking.py:cpu --workdir=runs/grokking

Variants:
  cpu: 3 minutes on two cores; the paper's setting, one seed. Training accuracy passes 0.99 near
    epoch 150, test accuracy near epoch 4,600; MIR (n = 256) rises from 0.51 to 0.64 and falls to
    0.31; HDR falls to 0.04, rises to 0.24 and falls to 0.01. Of 24 other seeds, 22 reach a test
    accuracy of 0.99, between epochs 2,800 and 10,500, with HDR rising to 0.20 ± 0.07.
  paper: 35 minutes on two cores; eight seeds, 14,000 epochs. The time is estimated from a part of
    the run. Test accuracy passes 0.99 between epochs 3,769 and 11,369; MIR (n = 256) ends at 0.32
    ± 0.02, HDR peaks at 0.10 to 0.27.
  seeds: 15 minutes on two cores; eight seeds, two controls. `a+b mod 59` from 45 % of the pairs,
    with weight decay, without it, and with random labels: in which seeds MIR falls and HDR rises
    and falls, and whether this precedes the rise of test accuracy. The time is with
    JAX_NUM_CPU_DEVICES=2, which trains two seeds at a time.
  seeds-smoke: seconds; the same with modulus 13.
  smoke: seconds; modulus 13, a narrow network.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import _variants

_SMOKE = {
    "seed": 0,
    "modulus": 13,
    "d_model": 16,
    "num_heads": 2,
    "d_mlp": 32,
    "num_steps": 60,
    "metric_batch_sizes": (16, 64),
    "population_splits": ("train", "test"),
    "eval_every": 10,
    "early_epoch": 20,
    "checkpoint_every": 20,
    "steps_per_call": 5,
}
# A smaller modulus, which generalises in minutes.
_SMALL = {
    "seed": 0,
    "num_seeds": 5,
    "modulus": 59,
    "train_fraction": 0.45,
    "num_steps": 6_000,
    "early_epoch": 500,
}


def study(
    fields: tuple[str, ...],
    points: tuple[tuple[Any, ...], ...],
    smoke: bool = False,
    **changes: Any,
) -> dict[str, Any]:
    """Returns the settings of a study of conditions on the same seeds.

    Args:
      fields: config fields in which the conditions differ.
      points: conditions, one value per field; the first is the reference.
      smoke: whether the study must finish in seconds.
      **changes: to the settings of all conditions.
    """
    n = 64 if smoke else 256
    names = ("accuracy", f"mir_{n}", f"hdr_{n}", "class_mir", "class_hdr")
    metrics = tuple(f"test/{name}" for name in names)
    size = _SMOKE | {"num_seeds": 2, "population_splits": ()} if smoke else _SMALL
    grid = {
        "experiment": "sweep",  # of the grid
        "point_experiment": "grokking",  # of a point
        "fields": fields,  # what varies
        "points": points,  # its values at each point; the first is the reference
        "table_metrics": metrics,  # columns of table.md
    }
    return size | grid | changes


# With weight decay, and two controls that fit the training examples but cannot generalise.
_CONTROLLED = ("weight_decay", "operation"), ((1.0, "a+b"), (0.0, "a+b"), (1.0, "random"))

_VARIANTS: _variants.Variants = {
    "cpu": {},
    "paper": {"seed": 0, "num_seeds": 8, "num_steps": 14_000},
    "seeds": study(*_CONTROLLED, num_seeds=8),
    "seeds-smoke": study(*_CONTROLLED, smoke=True),
    "smoke": _SMOKE,
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper, seeds, seeds-smoke or smoke."""
    config = ConfigDict()
    config.experiment = "grokking"  # the module in launch/experiments
    config.seed = 5  # of the split, initial weights and test batches
    config.num_seeds = 1  # seeds seed, seed + 1, ...; with several, each has its own directory

    config.modulus = 113  # a prime; 120 for s5
    config.operation = "a+b"  # a-b, a*b, a/b, a^2+b^2, a^2+ab+b^2, a^3+ab, s5, random
    config.train_fraction = 0.3  # of the pairs; the others are the test set

    config.d_model, config.num_heads, config.d_mlp = 128, 4, 512  # of the one-layer transformer

    config.loss = "margin"  # or "ordinary": logsumexp, whose rounding causes slingshots
    config.num_steps = 12_000  # epochs: every step sees the whole training set
    config.learning_rate = 1e-3  # AdamW's
    config.warmup_steps = 10  # in which the learning rate rises to its value
    config.beta1, config.beta2 = 0.9, 0.98  # AdamW's
    config.weight_decay = 1.0  # AdamW's
    config.init_scale = 1.0  # factor applied to all initial weights
    config.precision = "float32"  # or "float64", from the same initial weights
    config.stop_after = 0  # epochs to train once test accuracy exceeds 0.99; 0: all

    config.mi_weight = 0.0  # of the mutual information, to be maximised (minimised if negative)
    config.id_weight = 0.0  # of the entropy difference, to be minimised
    config.information_batch_size = 256  # training examples for both terms, drawn every step
    config.information_entropy = "eigenvalues"  # in the loss; or "squarings": matrix products alone
    config.information_until = ""  # "generalisation": off once test accuracy exceeds 0.99
    config.gradient_filter = "none"  # grokfast_ema, grokfast_ma, orthogonal
    config.grokfast_alpha = 0.98  # decay of the average of grokfast_ema
    config.grokfast_window = 100  # gradients averaged by grokfast_ma
    config.grokfast_weight = 2.0  # of the average added to the gradient

    config.metric_batch_sizes = (64, 256)  # of the test batches for MIR and HDR, drawn once
    config.population_splits = ()  # train, test, all: splits with MIR and HDR of all examples; slow
    config.chance_permutations = 8  # of a batch's labels, for the chance level of MIR; 0: none
    config.progress_measures = True  # Fourier measures of Nanda et al. 2023, of a+b and a-b
    config.eval_every = 100  # at most; more often before step 1,000
    config.early_epoch = 1_000  # do its values predict when a seed generalises?
    config.checkpoint_every = 500  # steps; a run resumes from its last checkpoint
    config.steps_per_call = 50  # updates per call of the compiled program
    return _variants.apply(config, variant, _VARIANTS)
