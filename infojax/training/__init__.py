"""Training: the step under pmap, the loop around it, checkpoints and records."""

from infojax.training.checkpoint import Checkpoints
from infojax.training.ensemble import Member, fit_ensemble
from infojax.training.interrupts import Interrupted
from infojax.training.lanes import Ensemble, make_ensemble
from infojax.training.loop import Plan, evaluation_steps, fit
from infojax.training.recorder import Recorder, read_records
from infojax.training.shards import shard_padded
from infojax.training.step import (
    AXIS,
    Advance,
    Batch,
    LossFn,
    Metrics,
    ModelState,
    Params,
    Terms,
    TrainState,
    Update,
    init_state,
    make_train_step,
    mapped,
    put_shards,
    replicate,
    single,
    stateless,
    train_step,
)

__all__ = [
    "AXIS",
    "Advance",
    "Batch",
    "Checkpoints",
    "Ensemble",
    "Interrupted",
    "LossFn",
    "Member",
    "Metrics",
    "ModelState",
    "Params",
    "Plan",
    "Recorder",
    "Terms",
    "TrainState",
    "Update",
    "evaluation_steps",
    "fit",
    "fit_ensemble",
    "init_state",
    "make_ensemble",
    "make_train_step",
    "mapped",
    "put_shards",
    "read_records",
    "replicate",
    "shard_padded",
    "single",
    "stateless",
    "train_step",
]
