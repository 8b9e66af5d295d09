"""MIR and HDR on the straight line between two trained networks (Figures 3 and 4).

The endpoints are ordinary supervised runs, stored under the settings they were trained with.
"""

import contextlib
import itertools
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from infojax import training
from infojax.data.augment import flip_and_crop
from infojax.data.sampling import shuffled_epochs
from infojax.errors import UserError
from infojax.methods.interpolation import interpolate, merge_batch_stats, recompute_batch_stats
from infojax.training import evaluation, processes, storage
from launch import (
    classification,
    image_runs,
    ledger,
    plots,
    seeds,
    updates,
    workdir as workdirs,
)
from launch.classification import Program
from launch.ledger import Ledger
from launch.plots.mode_connectivity import figures as figures
from launch.results import mode_connectivity
from launch.runs import model_name
from launch.settings import check_at_least, derived
from launch.updates import WHY_NOT_LONGER as WHY_NOT_LONGER

TREATMENTS = ("interpolated", "recomputed", "first")
_STUDY = (
    "learning_rates",
    "num_omegas",
    "treatments",
    "recompute_batches",
    "endpoints_dir",
)
_STREAMS = {"trunk": 1, "a": 1, "b": 2}  # of data; "a" is the supervised run of the seed
_RECOMPUTE = 3


class Network(NamedTuple):
    """What is interpolated, with a leading device axis; the state is the BatchNorm statistics."""

    params: Any
    model_state: Any


Line = Callable[[Network, Network, float], dict[str, training.Metrics | None]]


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains the pairs that are missing, and measures every point that is missing."""
    check(config)
    keys = list(itertools.product(seeds.of(config), config.learning_rates, omegas(config)))
    program: Program | None = None
    with Ledger(workdir, ("seed", "learning_rate", "omega"), keys, ("omega",)) as book:
        for (seed, rate), missing in itertools.groupby(list(book.missing), lambda key: key[:2]):
            if program is None:
                program = classification.build(endpoint_config(config, seed, rate, "a"))
                image_runs.describe(program.data, workdir)
                line = make_line(program, config)
            a, b = (train_endpoint(program, config, workdir, seed, rate, m) for m in "ab")
            for key in missing:
                started, omega = time.monotonic(), key[2]
                point: ledger.Point = dict(line(a, b, omega))
                point["seconds"] = round(time.monotonic() - started, 3)
                book.append(key, point, {"omega": omega})
            report(book.points, config, workdir)
    report(book.points, config, workdir)


def report(points: list[ledger.Point], config: ConfigDict, workdir: Path) -> None:
    """Writes the summary of the pairs that are finished, and draws the figures."""
    if not processes.first():
        return
    trained = [
        training.read_records(_directory(config, workdir, seed, rate, member))[-1]["seconds"]
        for seed, rate in {(p["seed"], p["learning_rate"]): None for p in points}
        for member in (["trunk"] if config.fork_step else []) + ["a", "b"]
    ]
    seconds = {"training": sum(trained), "measuring": sum(p["seconds"] for p in points)}
    about = {"model": model_name(config), "seconds": seconds}
    summary = about | mode_connectivity.summarize(points, config)
    storage.write_json(workdir / "summary.json", summary)
    plots.draw(figures, [workdir], workdir / "figures")


def omegas(config: ConfigDict) -> list[float]:
    """Points on the line, including its ends."""
    return np.linspace(0, 1, config.num_omegas).tolist()


def endpoint_config(config: ConfigDict, seed: int, rate: float, member: str) -> ConfigDict:
    """The settings that a network depends on: the config of a supervised run."""
    changes = {"seed": seed, "num_seeds": 1, "learning_rate": rate, "member": member}
    return derived(config, _STUDY, experiment="supervised", **changes)


def train_endpoint(
    program: Program, config: ConfigDict, workdir: Path, seed: int, rate: float, member: str
) -> Network:
    """Returns one of the two networks of a pair, trained if it is missing.

    Raises:
      UserError: its directory holds a network of other settings.
    """
    endpoint = endpoint_config(config, seed, rate, member)
    state = classification.init_state(program, endpoint, seed)
    place = lambda member: _directory(config, workdir, seed, rate, member)  # noqa: E731
    if config.fork_step:
        trunk = endpoint_config(config, seed, rate, "trunk")
        state = _train(program, trunk, config.fork_step, state, place("trunk"))
    state = _train(program, endpoint, config.num_steps, state, place(member))
    params = classification.evaluated_params(state)
    return Network(*training.replicate((params, state.model_state)))


def _directory(config: ConfigDict, workdir: Path, seed: int, rate: float, member: str) -> Path:
    root = Path(config.endpoints_dir) if config.endpoints_dir else workdir / "endpoints"
    return root / f"rate={rate},seed={seed}" / member


def _train(
    program: Program,
    endpoint: ConfigDict,
    num_steps: int,
    state: training.TrainState,
    directory: Path,
) -> training.TrainState:
    shorter = endpoint.copy_and_resolve_references()
    shorter.num_steps = num_steps
    with contextlib.ExitStack() as stack:

        def take() -> None:  # other studies may use the same directory
            stack.enter_context(workdirs.locked(directory))
            workdirs.prepare(directory, endpoint)

        processes.from_first(take)
        stream = _STREAMS[endpoint.member]
        source = classification.make_source(program, endpoint, endpoint.seed, stream)
        return classification.fit(program, shorter, state, source, directory)


def make_line(program: Program, config: ConfigDict) -> Line:
    """Returns the function that measures the network at one point, under each treatment.

    Its parts are compiled once for all points and called from the host: XLA's CPU backend is slow
    at convolutions within loops.
    """
    between = training.mapped(interpolate)
    measured = measured_treatments(program, config)
    recompute = make_recompute(program, config)
    shards = evaluation.shard(program.data.test, config.eval_batch_size)

    def line(a: Network, b: Network, omega: float) -> dict[str, training.Metrics | None]:
        where = training.replicate(jnp.float32(omega))
        params, model_state = between(a, b, where)
        states = {
            "interpolated": lambda: model_state,
            "recomputed": lambda: recompute(params, model_state),
            "first": lambda: a.model_state,
        }
        found = {
            name: program.measure_population(program.split, params, states[name](), shards)
            for name in measured
        }
        _check_finite(found, omega)
        return {name: found[name] if name in measured else None for name in config.treatments}

    return line


def measured_treatments(program: Program, config: ConfigDict) -> list[str]:
    """The treatments of BatchNorm statistics, or "interpolated" alone for a model without them.

    Raises:
      UserError: the model has none, and the config asks for other treatments only.
    """
    example = np.zeros((1, *program.data.train.images.shape[1:]), np.float32)
    _, state = jax.eval_shape(program.model.init, jax.random.key(0), example)
    if "batch_stats" in state:
        return list(config.treatments)
    if "interpolated" not in config.treatments:
        raise UserError(
            f"model = {config.model!r} has no BatchNorm statistics; treatments must hold "
            "'interpolated', the only one that is then measured"
        )
    return ["interpolated"]


def make_recompute(program: Program, config: ConfigDict) -> Callable[[Any, Any], dict[str, Any]]:
    """Returns the function that recomputes a network's BatchNorm statistics.

    They come from training batches, augmented as in training, the same for all networks.
    """

    def of_batch(params, batch_stats, batch):
        def apply(params, batch_stats, batch):
            images, state = updates.standardise(program.data, batch), {"batch_stats": batch_stats}
            return program.model.apply(params, state, images, True)[2]["batch_stats"]

        return recompute_batch_stats(apply, params, batch_stats, batch[None], training.AXIS)

    run = training.mapped(of_batch)
    merge = training.mapped(
        lambda found: merge_batch_stats(jax.tree.map(lambda *x: jnp.stack(x), *found))
    )
    batches = training_batches(program, config)

    def recompute(params, model_state):
        found = [run(params, model_state["batch_stats"], batch) for batch in batches]
        return model_state | {"batch_stats": merge(found)}

    return recompute


def training_batches(program: Program, config: ConfigDict) -> list[jax.Array]:
    """Batches uint8 [devices, size, h, w, channels], drawn with a stream of their own."""
    key = jax.random.fold_in(jax.random.key(config.seed), _RECOMPUTE)
    x, devices = jnp.asarray(program.data.train.images), jax.device_count()
    size, first = config.batch_size // devices, jax.process_index() * jax.local_device_count()

    @jax.jit
    def draw(x, index):
        positions = index * config.batch_size + jnp.arange(config.batch_size, dtype=jnp.int32)
        order, augmentation = jax.random.split(key)
        rows = shuffled_epochs(order, positions, len(x))
        return flip_and_crop(augmentation, x, rows, positions, config.crop_padding, config.flip)

    def on_devices(index):
        parts = draw(x, jnp.int32(index)).reshape(devices, size, *x.shape[1:])
        return training.put_shards(parts[first : first + jax.local_device_count()])

    return [on_devices(index) for index in range(config.recompute_batches)]


def _check_finite(found: dict[str, training.Metrics], omega: float) -> None:
    for treatment, metrics in found.items():
        for name, value in metrics.items():
            if not math.isfinite(value):
                raise FloatingPointError(
                    f"not finite at omega = {omega:.3f}, {treatment} statistics: {name} = {value}"
                )


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    check_at_least(
        config, {"num_omegas": 3, "recompute_batches": 1, "num_seeds": 1, "fork_step": 0}
    )
    if not config.learning_rates or len(set(config.learning_rates)) < len(config.learning_rates):
        raise UserError("learning_rates must hold at least one learning rate, each of them once")
    if config.fork_step >= config.num_steps:
        raise UserError(f"fork_step must be below num_steps = {config.num_steps}")
    if not config.treatments or not set(config.treatments) <= set(TREATMENTS):
        raise UserError(
            f"treatments = {tuple(config.treatments)} must hold some of {', '.join(TREATMENTS)}"
        )
    classification.check_in_memory(config)
    classification.check(endpoint_config(config, config.seed, min(config.learning_rates), "a"))
