"""Directories of runs whose networks are saved without training."""

import json

import jax
import numpy as np

from configs import cifar10, grokking as grokking_config, semisupervised as few
from infojax import training
from infojax.training.checkpoint import Checkpoints
from launch import classification, image_runs
from launch.experiments import grokking, semisupervised

STEP = 12


def _save(directory, state):
    """Saves a state whose moving average differs from its parameters."""
    if state.ema is not None:
        state = state.replace(ema=jax.tree.map(lambda x: x + 0.01, state.ema))
    checkpoints = Checkpoints(directory / "checkpoints")
    checkpoints.save(STEP, state)
    checkpoints.close()


def _write(workdir, config):
    workdir.mkdir(exist_ok=True)
    (workdir / "config.json").write_text(config.to_json())


def supervised(workdir, **changes):
    """A run of image classification on digits, of two seeds."""
    config = cifar10.get_config("smoke")
    config.update({"num_seeds": 2, **changes})
    program = classification.build(config)
    _write(workdir, config)
    for seed in (0, 1):
        directory = workdir / f"seed-{seed}"
        image_runs.describe(program.data, directory)
        _save(directory, classification.init_state(program, config, seed))
        record = {"step": STEP, "seconds": 1.0, "test/accuracy": 0.1}
        (directory / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    return workdir, program


def semi_supervised(workdir):
    """A run with few labels, whose state holds FreeMatch's beside the network's."""
    config = few.get_config("smoke")
    program = semisupervised.build(config)
    _write(workdir, config)
    methods = {"freematch": semisupervised.freematch.init(10)}
    state = classification.init_state(program.network, config, 0, methods)
    _save(workdir, state)
    return workdir, state


def grokked(workdir):
    """A run of grokking."""
    config = grokking_config.get_config("smoke")
    program = grokking.build(config)
    _write(workdir, config)
    init = jax.jit(program.model.init)
    params = init(jax.random.key(0), np.zeros((1, 2), np.int32))["params"]
    _save(workdir, training.init_state(program.update, params))
    return workdir, program, params
