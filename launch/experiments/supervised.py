"""Image classification with MIR and HDR over training (Figures 1 and 2, Table 2)."""

import functools
from pathlib import Path

from ml_collections import ConfigDict

from infojax import training
from launch import classification, image_runs, seeds
from launch.classification import TRACED as TRACED, Program, build as build, check as check
from launch.image_runs import read_network as read_network
from launch.plots.supervised import figures as figures
from launch.results import observations, supervised
from launch.runs import model_name
from launch.updates import WHY_NOT_LONGER as WHY_NOT_LONGER


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    check(config)
    program = build(config)
    observe = functools.partial(
        supervised.observe,
        split=program.split,
        n=config.metric_batch_sizes[0],
        num_classes=program.data.num_classes,
    )
    about = {"model": model_name(config)}
    seeds.run(
        config,
        workdir,
        functools.partial(run_seed, program, config),
        lambda histories: about | observations.summarize(histories, observe),
        figures,
    )


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or resumes; returns its final state."""
    image_runs.describe(program.data, directory)
    state = classification.init_state(program, config, seed)
    source = classification.make_source(program, config, seed)
    return classification.fit(program, config, state, source, directory)
