"""Controls of grokking: what decides whether and when a network generalises.

    python -m launch --config=configs/grokking_controls.py:cpu --workdir=runs/grokking_controls

Each variant is a study of several conditions on the same five seeds, `a+b mod 59` from 45 % of the
pairs unless it says otherwise, up to epoch 12,000; a seed that generalises stops 2,000 epochs
later. table.md and summary.json hold the seeds that generalise, the ratios of their onsets to the
first condition's, and the transitions of MIR and HDR at both levels. Times are step times
multiplied by the number of steps.

Variants:
  cpu: 30 minutes on two cores; weight decay 1, 0, 0.1, 0.3, 3. The onset is roughly proportional to
    its inverse; with 0.1 and 0 no seed generalises by epoch 12,000.
  fraction: 20 minutes on two cores; 20 to 90 % for training. At 20 % no seed generalises, at 30 %
    four of five do; from 60 % on without a delay.
  labels: 8 minutes on two cores; random labels. MIR falls in all seeds.
  rate: 15 minutes on two cores; learning rates 3e-4 to 1e-2. The onset is about inversely
    proportional to it.
  loss: 7 minutes on two cores; exact and ordinary cross-entropy. No difference.
  precision: 7 minutes on two cores; float32 and float64. No difference.
  tasks: an hour on two cores; seven operations, S5.
  paper: for an accelerator; weight decay, modulus 113. 30 % of the pairs, 14,000 epochs.
  smoke: seconds; `cpu` with modulus 13, two conditions.
  fraction-smoke: seconds.
  labels-smoke: seconds.
  rate-smoke: seconds.
  loss-smoke: seconds.
  precision-smoke: seconds.
  tasks-smoke: seconds.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import _variants, grokking

_Points = tuple[tuple[Any, ...], ...]

_DECAYS: _Points = ((1.0,), (0.0,), (0.1,), (0.3,), (3.0,))
_TASKS: _Points = (
    ("a+b", 59),
    ("a-b", 59),
    ("a*b", 59),
    ("a/b", 59),
    ("a^2+b^2", 59),
    ("a^2+ab+b^2", 59),
    ("a^3+ab", 59),
    ("s5", 120),
)
# The fields in which conditions differ, all conditions, and the smoke test's conditions.
_CONTROLS: dict[str, tuple[tuple[str, ...], _Points, _Points]] = {
    "cpu": (("weight_decay",), _DECAYS, _DECAYS[:2]),
    "fraction": (
        ("train_fraction",),
        ((0.45,), (0.2,), (0.3,), (0.6,), (0.7,), (0.8,), (0.9,)),
        ((0.4,), (0.6,)),
    ),
    "labels": (("operation",), (("a+b",), ("random",)), (("a+b",), ("random",))),
    "rate": (("learning_rate",), ((1e-3,), (3e-4,), (3e-3,), (1e-2,)), ((1e-3,), (3e-3,))),
    "loss": (("loss",), (("margin",), ("ordinary",)), (("margin",), ("ordinary",))),
    "precision": (
        ("precision",),
        (("float32",), ("float64",)),
        (("float32",), ("float64",)),
    ),
    "tasks": (("operation", "modulus"), _TASKS, (("a+b", 13), ("a/b", 13))),
}
_PAPER: dict[str, Any] = {
    "modulus": 113,
    "train_fraction": 0.3,
    "num_steps": 14_000,
    "early_epoch": 1_000,
}
_LONG: dict[str, Any] = {"num_steps": 12_000, "stop_after": 2_000}
_STUDIES = {
    name: grokking.study(fields, points, **_LONG) for name, (fields, points, _) in _CONTROLS.items()
}
_VARIANTS: _variants.Variants = {
    "cpu": _STUDIES["cpu"],
    "paper": grokking.study(("weight_decay",), _DECAYS, **_PAPER),
    **_STUDIES,
    **{
        "smoke" if name == "cpu" else f"{name}-smoke": grokking.study(fields, few, smoke=True)
        for name, (fields, _, few) in _CONTROLS.items()
    },
}


def get_config(variant: str = "cpu") -> ConfigDict:
    """Returns the configuration of a variant: cpu, paper, smoke, or another control."""
    return _variants.apply(grokking.get_config(), variant, _VARIANTS)
