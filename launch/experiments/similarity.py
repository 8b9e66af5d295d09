"""Matrix entropy as a measure of similarity and clustering, over training (Song et al. 2024b)."""

import functools
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.errors import UserError
from launch import classification, image_runs, seeds, similarity
from launch.classification import TRACED as TRACED, Program, build as build
from launch.image_runs import read_network as read_network
from launch.plots.similarity import comparison_figures as comparison_figures, figures as figures
from launch.results import observations, similarity as results
from launch.results.similarity import compare as compare
from launch.runs import model_name
from launch.settings import check_at_least
from launch.updates import WHY_NOT_LONGER as WHY_NOT_LONGER


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    classification.check(config)
    classification.check_in_memory(config)
    check_at_least(config, {"similarity_images": 2})
    if "test" not in config.population_splits:
        raise UserError('population_splits must name "test", whose entropies are compared')


def check_on_data(program: Program, built_for: ConfigDict, config: ConfigDict) -> None:
    """Raises UserError if the images to compare do not tell classes apart."""
    labels = _images(program, config)[1]
    if not 1 < len(np.unique(labels)) < len(labels):
        raise UserError(
            f"similarity_images = {config.similarity_images}: these images are of one class, or no "
            "two of them share a class; use more"
        )


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains all seeds, draws the figures and writes the summary."""
    check(config)
    program = build(config)
    check_on_data(program, config, config)
    about = {"model": model_name(config)}
    n = config.metric_batch_sizes[0]
    seeds.run(
        config,
        workdir,
        functools.partial(run_seed, program, config),
        lambda histories: (
            about | observations.finals(histories) | results.summarize(histories, program.split, n)
        ),
        figures,
    )


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Trains one seed, or resumes; returns its final state."""
    image_runs.describe(program.data, directory)
    state = classification.init_state(program, config, seed)
    source = classification.make_source(program, config, seed)
    plan = classification.plan(program, config, directory)
    plan = plan._replace(evaluate=_with_similarity(program, config, plan.evaluate))
    return training.fit(state, lambda state, count: program.advance(state, source, count), plan)


def _images(program: Program, config: ConfigDict):
    """The evaluated images that are compared with each other: the first ones, and their labels."""
    images, labels = program.data.test
    return images[: config.similarity_images], labels[: config.similarity_images]


def _with_similarity(
    program: Program,
    config: ConfigDict,
    evaluate: Callable[[training.TrainState], training.Metrics],
) -> Callable[[training.TrainState], training.Metrics]:
    """An evaluation that also measures how alike the features of the first images are."""
    images, labels = _images(program, config)
    forward = jax.jit(classification.make_forward(program.model, program.data))

    def measured(replicated: training.TrainState) -> training.Metrics:
        metrics = evaluate(replicated)
        state = training.single(replicated)
        params = classification.evaluated_params(state)
        z, _ = forward(params, state.model_state, images)
        head, _ = program.model.head_of(params)
        if not np.all(np.isfinite(z)):  # nor is a metric, so the run will end with the reason
            return metrics
        found = similarity.measure(*jax.device_get((z, labels, head)))
        return metrics | {f"{program.split}/{k}": x for k, x in found.items()}

    return measured
