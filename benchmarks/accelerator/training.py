"""Part 6: CIFAR-10 at the papers' scale: one run after another, each resumed where it was."""

import functools
import json
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.accelerator import data as parts_of_data, network
from benchmarks.accelerator.context import Context, Measurement, OutOfTime
from benchmarks.accelerator.recipes import RECIPES, SMALL, Recipe
from benchmarks.accelerator.timing import timed
from infojax import training
from infojax.data import images
from infojax.errors import UserError
from infojax.methods.interpolation import barrier, interpolate
from infojax.training import evaluation

_GOAL = 0.95  # test accuracy
_OMEGAS = 21
_SPARE = 5.0  # seconds to save a state and to end


def measurements(context: Context) -> Iterator[Measurement]:
    """Runs in the order of worth; a pair is measured once both of its networks are trained."""
    load = functools.cache(lambda: _load(context))
    data = Measurement("data", lambda: {"training_images": len(load().train.labels)}, 0.0)
    try:
        load()
    except UserError:
        yield data._replace(again=True)  # says what is missing or differs
        return
    yield data
    recipe = SMALL if context.small else RECIPES[context.recipe]
    named, lines = runs(recipe), pairs(recipe)
    if context.small:
        named, lines = dict(list(named.items())[:1]), dict(list(lines.items())[:1])
    for name, own in named.items():
        run = functools.partial(_run, name, own, load, context)
        yield Measurement(f"{context.recipe}: {name}", run, 60.0)
    for rate, pair in lines.items():
        for name in sorted(pair.keys() - named.keys()):
            run = functools.partial(_run, name, pair[name], load, context)
            yield Measurement(f"{context.recipe}: {name}", run, 60.0)
        run = functools.partial(_connect, pair, load, context)
        yield Measurement(f"{context.recipe}: mode connectivity, rate {rate:g}", run, 60.0)


def runs(recipe: Recipe) -> dict[str, Recipe]:
    """Figures 1 and 2, the rows of Table 2, seeds, Figure 5."""
    named = {"baseline, seed 0": recipe}
    for mi, id_ in ((0.1, 0.0), (0.0, 0.1), (0.1, 0.1)):
        named[f"mi {mi}, id {id_}, seed 0"] = recipe._replace(mi_weight=mi, id_weight=id_)
    for seed in (1, 2):
        named[f"baseline, seed {seed}"] = recipe._replace(seed=seed)
    for smoothing in (0.1, 0.3, 0.5):
        named[f"smoothing {smoothing}, seed 0"] = recipe._replace(label_smoothing=smoothing)
    return named


def pairs(recipe: Recipe) -> dict[float, dict[str, Recipe]]:
    """Figures 3 and 4: two networks of one initial state, by learning rate."""
    found = {}
    for factor in (1.0, 0.01):
        rate = factor * recipe.learning_rate
        own = recipe._replace(learning_rate=rate)
        first = "baseline, seed 0" if factor == 1 else f"rate {rate:g}, first"
        found[rate] = {first: own, f"rate {rate:g}, second": own._replace(stream=2)}
    return found


def _load(context: Context) -> images.ImageData:
    if context.small:
        return images.load(images.DIGITS)
    return parts_of_data.load(context.parts, context.out / "data")


def _directory(name: str, context: Context) -> Path:
    place = context.recipe + "-" + name.replace(", ", "-").replace(" ", "")
    return context.out / "runs" / place


def _run(name: str, recipe: Recipe, load: Any, context: Context) -> dict[str, Any]:
    """Trains a network to the end, or until the time is over."""
    directory = _directory(name, context)
    _check(directory, recipe)
    trainer = _Trainer(recipe, load(), context)
    plan = training.Plan(
        directory,
        trainer.evaluate,
        [*range(0, recipe.num_steps, recipe.eval_every), recipe.num_steps],
        recipe.num_steps if context.small else 5 * recipe.eval_every,
        recipe.eval_every,
    )
    try:
        training.fit(trainer.state, trainer.advance, plan)
    except training.Interrupted as stopped:
        raise OutOfTime({"step": stopped.step, **trainer.about(directory)}) from stopped
    return trainer.about(directory)


def _check(directory: Path, recipe: Recipe) -> None:
    """Raises UserError if a directory holds a run of another recipe; else writes this one there."""
    path, text = directory / "recipe.json", json.dumps(recipe._asdict(), indent=1) + "\n"
    if path.exists() and path.read_text() != text:
        raise UserError(f"{directory} holds a run of another recipe; use another --out")
    directory.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


class _Trainer:
    """A recipe's compiled dispatch, and what is measured between two of them."""

    def __init__(self, recipe: Recipe, data: images.ImageData, context: Context) -> None:
        self._recipe, self._clock = recipe, context.clock
        program = network.build(recipe, data)
        self.state = network.init_state(program, data, recipe.seed)
        self._source = network.make_source(data, recipe.seed, recipe.stream)
        every = recipe.eval_every
        lowered = network.make_advance(program, every, recipe.metrics_every).lower(
            training.replicate(self.state), self._source
        )
        self._compiling, self._advance = timed(lowered.compile)
        self._measures = make_measures(program, recipe, data)
        self._records: dict[str, np.ndarray] = {}
        self._slowest = self._measuring = 0.0
        # Compiles, so that the time of an evaluation is known from the first one on.
        self._compiling += timed(lambda: self.evaluate(training.replicate(self.state)))[0]

    def advance(self, state: training.TrainState, count: int) -> training.TrainState:
        """One dispatch; asks the loop to save and to end if the time left is for no other."""
        assert count == self._recipe.eval_every
        seconds, (state, records) = timed(
            lambda: jax.block_until_ready(self._advance(state, self._source))
        )
        self._records = {name: np.asarray(training.single(x)) for name, x in records.items()}
        self._slowest = max(self._slowest, seconds)
        if self._clock.left() < 2 * (self._slowest + self._measuring) + _SPARE:
            signal.raise_signal(signal.SIGTERM)
        return state

    def evaluate(self, replicated: training.TrainState) -> training.Metrics:
        """Metrics of both splits, and means over the batches recorded since the last ones."""
        params = replicated.params if replicated.ema is None else replicated.ema
        found: training.Metrics = {}
        start = time.perf_counter()
        for measure in self._measures.values():
            found |= measure(params, replicated.model_state)
        self._measuring = time.perf_counter() - start
        return found | {f"batch/{k}": float(np.mean(x)) for k, x in self._records.items()}

    def about(self, directory: Path) -> dict[str, Any]:
        """The last record of a run, its best accuracy, and how long it took."""
        records = training.read_records(directory)
        last = records[-1]
        accuracies = [r["test/accuracy"] for r in records]
        reached = [r["step"] for r in records if r["test/accuracy"] >= _GOAL]
        n = self._recipe.metric_batch_size
        first = ("accuracy", f"mir_{n}", f"hdr_{n}", "population_mir", "population_hdr")
        shown = {f"test/{name}": last[f"test/{name}"] for name in first}
        shown |= {k: v for k, v in last.items() if k.startswith(("test/", "train/"))}
        return {
            "run": directory.name,
            "recipe": self._recipe._asdict(),
            **shown,
            "seconds": last["seconds"],
            "step": last["step"],
            "seconds_per_step": self._slowest / self._recipe.eval_every,
            "compile_seconds": self._compiling,
            "best_accuracy": max(accuracies),
            f"reached_{_GOAL}": reached[0] if reached else None,
        }


def make_measures(program: network.Program, recipe: Recipe, data: images.ImageData) -> Any:
    """Returns functions of parameters and statistics that measure the test and training split.

    Batches of the test split alone: the eigenvalues of a small matrix take a device as long as
    those of a larger one, and of batches there are many.
    """
    forward = network.make_forward(program, data)

    def measuring(name, split, sizes):
        metrics = evaluation.Metrics(sizes, True)
        measure = evaluation.make_measure(forward, program.model.head_of, metrics)
        shards = evaluation.shard(split, recipe.eval_batch_size)
        return lambda params, model_state: measure(name, params, model_state, shards)

    return {
        "test": measuring("test", data.test, (recipe.metric_batch_size,)),
        "train": measuring("train", data.train, ()),
    }


def _connect(pair: dict[str, Recipe], load: Any, context: Context) -> dict[str, Any]:
    """Accuracy, MIR and HDR on the line between two trained networks."""
    data, (recipe, _) = load(), pair.values()
    program = network.build(recipe, data)
    template = network.init_state(program, data, recipe.seed)
    first, second = (
        _trained(_directory(name, context), template, recipe.num_steps) for name in pair
    )
    measure = make_measures(program, recipe, data)["test"]
    points = []
    for omega in np.linspace(0, 1, 3 if context.small else _OMEGAS).tolist():
        params, model_state = training.replicate(interpolate(first, second, jnp.float32(omega)))
        points.append({"omega": omega, **measure(params, model_state)})
    errors = jnp.array([1 - point["test/accuracy"] for point in points], jnp.float32)
    return {"barrier": float(barrier(errors)), "points": points}


def _trained(directory: Path, template: training.TrainState, steps: int) -> Any:
    """Parameters and statistics of a finished run.

    Raises:
      OutOfTime: it is not finished.
    """
    if not (directory / "checkpoints").exists():
        raise OutOfTime({"missing": directory.name})
    checkpoints = training.Checkpoints(directory / "checkpoints")
    state = checkpoints.restore(template)
    checkpoints.close()
    if state is None or int(state.step) < steps:
        raise OutOfTime({"missing": directory.name})
    return (state.params if state.ema is None else state.ema), state.model_state
