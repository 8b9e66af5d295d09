"""MIR and HDR on the straight line between two trained networks (Figures 3 and 4).

Endpoints are ordinary runs of `launch.supervised`, kept by what they were trained with.
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
from infojax.training import evaluation, processes
from infojax.training.progress import Progress
from infojax.training.recorder import append_line, read_lines, read_records
from launch import classifier, path_summary, plots, seeds, supervised
from launch import workdir as workdirs

POINTS = "points.jsonl"
TREATMENTS = ("interpolated", "recomputed", "first")
_STUDY = (
    "learning_rates",
    "num_omegas",
    "treatments",
    "recompute_batches",
    "endpoints_dir",
    "num_seeds",
)
_STREAMS = {"trunk": 1, "a": 1, "b": 2}  # of data; a is what supervised trains with the seed
_RECOMPUTE = 3


class Network(NamedTuple):
    """What is interpolated, with a leading axis of devices; BatchNorm statistics are its state."""

    params: Any
    model_state: Any


Line = Callable[[Network, Network, float], dict[str, training.Metrics]]


def run(config: ConfigDict, workdir: Path) -> None:
    """Trains the pairs that are not there yet, and measures each point that is not done yet."""
    check(config)
    path = workdir / POINTS
    recorded = processes.from_first(lambda: read_lines(path))
    done = {(p["seed"], p["learning_rate"], p["omega"]) for p in recorded}
    pairs = list(itertools.product(_seeds(config), config.learning_rates))
    left = {
        pair: [omega for omega in omegas(config) if (*pair, omega) not in done] for pair in pairs
    }
    if any(left.values()):
        program = supervised.build(endpoint_config(config, *pairs[0], "a"))
        line = make_line(program, config)
    with Progress(len(pairs) * config.num_omegas, len(done), ("learning_rate", "omega")) as bar:
        for (seed, rate), missing in left.items():
            if not missing:
                continue
            a, b = (train_endpoint(program, config, workdir, seed, rate, m) for m in "ab")
            for omega in missing:
                started = time.monotonic()
                point = {"seed": seed, "learning_rate": rate, "omega": omega}
                point |= line(a, b, omega)
                point["seconds"] = round(time.monotonic() - started, 3)
                if processes.first():
                    append_line(path, point)
                done.add((seed, rate, omega))
                bar.update(len(done), {"learning_rate": rate, "omega": omega})
            report(config, workdir)
    report(config, workdir)


def report(config: ConfigDict, workdir: Path) -> None:
    """Writes the summary of the pairs that are done, and draws the figures."""
    if not processes.first():
        return
    points = read_lines(workdir / POINTS)
    trained = [
        read_records(_directory(config, workdir, seed, rate, member))[-1]["seconds"]
        for seed, rate in {(p["seed"], p["learning_rate"]): None for p in points}
        for member in (["trunk"] if config.fork_step else []) + ["a", "b"]
    ]
    seconds = {"training": sum(trained), "measuring": sum(p["seconds"] for p in points)}
    summary = {"seconds": seconds} | path_summary.summarize(points, config)
    workdirs.write_json(workdir / "summary.json", summary)
    plots.draw([workdir], workdir / "figures")


def omegas(config: ConfigDict) -> list[float]:
    """Points of the line, its ends among them."""
    return np.linspace(0, 1, config.num_omegas).tolist()


def endpoint_config(config: ConfigDict, seed: int, rate: float, member: str) -> ConfigDict:
    """The settings that a network depends on, and no others; those of a supervised run."""
    endpoint = config.copy_and_resolve_references()
    with endpoint.unlocked():
        for name in _STUDY:
            del endpoint[name]
        endpoint.experiment, endpoint.member = "supervised", member
        endpoint.seed, endpoint.num_seeds, endpoint.learning_rate = seed, 1, rate
    return endpoint


def train_endpoint(
    program: supervised.Program,
    config: ConfigDict,
    workdir: Path,
    seed: int,
    rate: float,
    member: str,
) -> Network:
    """Trains one of the two networks of a pair, unless it is there, and returns it.

    Raises:
      UserError: a network of other settings is in its place.
    """
    endpoint = endpoint_config(config, seed, rate, member)
    state = supervised.init_state(program, endpoint, seed)
    place = lambda member: _directory(config, workdir, seed, rate, member)  # noqa: E731
    if config.fork_step:
        shared = endpoint_config(config, seed, rate, "trunk")
        state = _train(program, shared, config.fork_step, state, place("trunk"))
    state = _train(program, endpoint, config.num_steps, state, place(member))
    return Network(*training.replicate((supervised.evaluated_params(state), state.model_state)))


def _directory(config: ConfigDict, workdir: Path, seed: int, rate: float, member: str) -> Path:
    root = Path(config.endpoints_dir) if config.endpoints_dir else workdir / "endpoints"
    return root / f"rate={rate},seed={seed}" / member


def _train(program, endpoint, num_steps, state, directory) -> training.TrainState:
    shorter = endpoint.copy_and_resolve_references()
    shorter.num_steps = num_steps
    with contextlib.ExitStack() as stack:

        def take():  # other studies may look for their networks in the same place
            stack.enter_context(workdirs.locked(directory))
            workdirs.prepare(directory, endpoint)

        processes.from_first(take)
        held = supervised.held_data(program, endpoint, endpoint.seed, _STREAMS[endpoint.member])
        return supervised.fit(program, shorter, state, held, directory)


def make_line(program: supervised.Program, config: ConfigDict) -> Line:
    """Returns the function that measures the network at one point, under each treatment.

    Each of its parts is compiled once for all points, and called from the host: XLA's CPU backend
    is slow at convolutions within loops.
    """
    between = training.mapped(interpolate)
    recompute = make_recompute(program, config)
    shards = evaluation.shard(program.data.test, config.eval_batch_size)

    def line(a: Network, b: Network, omega: float) -> dict[str, training.Metrics]:
        where = training.replicate(jnp.float32(omega))
        params, model_state = between(a, b, where)
        states = {
            "interpolated": lambda: model_state,
            "recomputed": lambda: recompute(params, model_state),
            "first": lambda: a.model_state,
        }
        found = {
            name: program.measure_population(program.split, params, states[name](), shards)
            for name in config.treatments
        }
        _check_finite(found, omega)
        return found

    return line


def make_recompute(
    program: supervised.Program, config: ConfigDict
) -> Callable[[Any, Any], dict[str, Any]]:
    """Returns the function from a network to its state with BatchNorm statistics of the data.

    These are of some training batches, augmented as in training, the same for all networks.
    """

    def of_batch(params, batch_stats, batch):
        def apply(params, batch_stats, batch):
            variables = {"params": params, "batch_stats": batch_stats}
            images = classifier.standardise(program.data, batch)
            updated = program.model.apply(variables, images, train=True, mutable=["batch_stats"])
            return updated[1]["batch_stats"]

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


def training_batches(program: supervised.Program, config: ConfigDict) -> list[jax.Array]:
    """Batches uint8 [devices, size, h, w, channels], in an order of their own."""
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


def _seeds(config: ConfigDict) -> range:
    return range(config.seed, config.seed + config.num_seeds)


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    seeds.check_at_least(
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
    supervised.check(endpoint_config(config, config.seed, min(config.learning_rates), "a"))
