"""The eigenproblems that train steps and measures leave to an accelerator's eigensolver."""

import collections
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

import infojax
from benchmarks import tables
from configs import cifar10, grokking, semisupervised
from infojax import collapse, population, training
from infojax.data import modular
from infojax.methods import freematch
from launch import classification, grokking_updates
from launch.experiments import (
    grokking as grokking_experiment,
    semisupervised as semisupervised_experiment,
)

Traced = tuple[Callable[..., Any], tuple[Any, ...]]
Counts = collections.Counter[tuple[str, tuple[int, ...]]]  # of a primitive and a shape

_DIGITS = {"dataset": "digits", "flip": False, "crop_padding": 1}  # images do not matter here
_WEIGHTS = {"mi_weight": 0.1, "id_weight": 0.1}
_NAMES = {"eigh": "", "svd": "SVD"}  # decompositions
_ROUTES = ("eigenvalues", "squarings")


def run(quick: bool) -> tuple[list[dict[str, Any]], str]:
    """Counts them in programs of the papers' sizes; returns records and table."""
    del quick  # nothing is computed
    records = []
    for name, make in _STEPS.items():
        counted = {route: count(*make(route)) for route in _ROUTES}
        records.append({"program": name, **{k: _listed(v) for k, v in counted.items()}})
    records += [{"program": n, _ROUTES[0]: _listed(count(*t))} for n, t in _measures()]
    rows = [[r["program"], *(r.get(route, "–") or "none" for route in _ROUTES)] for r in records]
    title = "## Eigenproblems of one step, or of one call\n\n"
    text = title + tables.markdown(["program", *_ROUTES], rows)
    print(text, flush=True)
    return records, text


def count(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Counts:
    """Returns how often a program decomposes which matrices: a primitive and a shape.

    A loop counts as often as it runs, of branches that a condition chooses among all do. Of what is
    chosen by the platform, the branch for accelerators counts.
    """
    found: Counts = collections.Counter()
    for times, equation in _equations(jax.make_jaxpr(function)(*arguments).jaxpr):
        if equation.primitive.name in _NAMES:
            found[equation.primitive.name, equation.invars[0].aval.shape] += times
    return found


def _equations(jaxpr: Any, times: int = 1) -> Iterator[tuple[int, Any]]:
    for equation in jaxpr.eqns:
        yield times, equation
        inner = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for value in jax.tree.leaves(
            list(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")
        ):
            nested = getattr(value, "jaxpr", value)
            if hasattr(nested, "eqns"):
                yield from _equations(nested, times * inner)


def _listed(counts: Counts) -> str:
    """For example "2 × 64, 8 × 4 of 10": two of size 64, eight batches of four of size 10."""
    parts = []
    for (name, (*batch, n, m)), times in sorted(counts.items(), key=lambda item: -item[0][1][-1]):
        size = f"{n}" if name == "eigh" else f"{_NAMES[name]} {n} x {m}"
        parts.append(f"{times} × {' x '.join(map(str, batch))}{' of ' * bool(batch)}{size}")
    return ", ".join(parts)


def _step(update: training.Update, state: Any, batch: Any) -> Traced:
    """An update, as each replica makes it."""
    mapped = jax.shard_map(
        functools.partial(training.train_step, update=update),
        mesh=jax.make_mesh((jax.device_count(),), (training.AXIS,), axis_types=(AxisType.Auto,)),
        in_specs=PartitionSpec(),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    return mapped, (state, batch)


def _of_replica(tree: Any) -> Any:
    return jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], tree))


def _supervised(route: str) -> Traced:
    config = cifar10.get_config("paper")
    config.update(_DIGITS | _WEIGHTS | {"information_entropy": route})
    program = classification.build(config)
    state = jax.eval_shape(lambda: classification.init_state(program, config, 0))
    source = classification.make_source(program, config, 0)
    return _step(program.update, state, _of_replica(source))


def _semisupervised(route: str) -> Traced:
    config = semisupervised.get_config("paper")
    config.update(_DIGITS | _WEIGHTS | {"information_entropy": route})
    program = semisupervised_experiment.build(config)
    network, methods = program.network, {"freematch": freematch.init(10)}
    rows = semisupervised_experiment.labelled_set(network, config, 0)
    state = jax.eval_shape(lambda: classification.init_state(network, config, 0, methods))
    source = semisupervised_experiment.make_source(program, config, 0, rows)
    return _step(network.update, state, _of_replica(source))


def _grokking(weights: dict[str, float], route: str) -> Traced:
    config = grokking.get_config("cpu")
    config.update(weights | {"information_entropy": route})
    program = grokking_experiment.build(config)
    fitted, _ = modular.split_examples(config.modulus, config.operation, config.train_fraction, 0)
    params = program.model.init(jax.random.key(0), jnp.zeros((1, 2), jnp.int32))["params"]
    state = grokking_updates.init_state(config, program.update, params)
    return _step(
        program.update, state, _of_replica(grokking_updates.batch_of(config, fitted, 0, 1))
    )


def _measures() -> Iterator[tuple[str, Traced]]:
    """Values without derivatives; and the alignment loss with its gradient."""
    w, z = (jax.ShapeDtypeStruct((n, 128), jnp.float32) for n in (10, 64))
    y = jax.ShapeDtypeStruct((64,), jnp.int32)
    statistics = jax.eval_shape(lambda: population.Statistics.zeros(10, 128))
    yield "MIR and HDR, n = 64, d = 128, C = 10", (infojax.sample_interplay, (z, y, w))
    chance = functools.partial(infojax.chance, key=jax.random.key(0), num_permutations=8)
    yield "their chance level, 8 permutations", (chance, (z, y, w))
    yield "class level", (infojax.class_interplay, (z, y, w))
    whole = lambda s, w: population.interplay(s, w).joint_entropy  # noqa: E731
    yield "whole data set, d = 128, C = 10", (whole, (statistics, w))
    yield "NC1 to NC4", (collapse.neural_collapse, (statistics, w))
    image, text = (jax.ShapeDtypeStruct((n, 512), jnp.float32) for n in (64, 10))
    aligned = jax.grad(infojax.losses.cross_modal_alignment, (0, 1))
    yield "alignment loss, 64 images, d = 512, C = 10", (aligned, (image, text, y))


_STEPS: dict[str, Callable[[str], Traced]] = {
    "cifar10:paper": _supervised,
    "semisupervised:paper": _semisupervised,
    "grokking": functools.partial(_grokking, {}),
    "grokking with information losses": functools.partial(_grokking, _WEIGHTS),
}
