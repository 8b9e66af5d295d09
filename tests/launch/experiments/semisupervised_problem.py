"""Semi-supervised training on digits."""

import jax

from configs.semisupervised import get_config
from infojax import training
from infojax.methods import freematch
from launch import classification
from launch.experiments import semisupervised


def config(**changes):
    """The smoke variant with a single labelled image per class, and all terms of the loss."""
    settings = get_config("smoke")
    weights = {"mi_weight": 0.2, "id_weight": 0.3, "fairness_weight": 0.05}
    settings.update({"num_labels": 10, "population_splits": (), **weights, **changes})
    return settings


def start(program, settings, thresholds=None):
    """The state before training, with FreeMatch's initial thresholds or others."""
    methods = {"freematch": freematch.init(10) if thresholds is None else thresholds}
    return classification.init_state(program.network, settings, 3, methods)


def advanced(program, settings, state, steps, seed=3):
    rows = semisupervised.labelled_set(program.network, settings, seed)
    source = semisupervised.make_source(program, settings, seed, rows)
    after = program.network.advance(training.replicate(state), source, steps)
    return jax.device_get(training.single(after))
