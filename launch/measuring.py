"""Metrics of a trained network on a split, at its head and layer by layer."""

import functools
import math
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from infojax import Interplay, collapse, information, population, training
from infojax.data.images import Split
from infojax.population import Statistics
from infojax.training import evaluation
from launch.trained import Network, Trained

_RTOL = 1e-3  # relative standard error of the population MIR, where it is estimated
Metrics = dict[str, float]


class Measured(NamedTuple):
    """Metrics of a split, and of each layer in order; the last layer is `features`."""

    metrics: Metrics
    layers: dict[str, Metrics]


class Request(NamedTuple):
    """What is measured.

    Attributes:
      sizes: of the batches whose MIR and HDR are averaged.
      alpha: order of the entropies.
      layers: names of the layers beside the features.
      chunk: images of a forward pass, a multiple of all sizes.
      permutations: of labels, for the chance level of MIR; 0: none.
    """

    sizes: tuple[int, ...]
    alpha: float
    layers: tuple[str, ...]
    chunk: int
    permutations: int


def make_measure(network: Network, request: Request) -> Callable[[Trained, Split], Measured]:
    """Returns a function that measures networks of one kind on a split.

    Metrics at the head are computed as in training, on all devices; added to them are the standard
    errors of the accuracy and of the means over batches.
    """
    wanted = evaluation.Metrics(request.sizes, True, _RTOL, request.alpha, request.permutations)
    at_head = evaluation.make_measure(network.forward, network.head_of, wanted)

    def measure(run: Trained, split: Split) -> Measured:
        params, state = training.replicate((run.params, run.model_state))
        metrics = at_head("", params, state, evaluation.shard(split, request.chunk))
        metrics = {name.removeprefix("/"): value for name, value in metrics.items()}
        share, n = metrics["accuracy"], len(split.labels)
        metrics["accuracy_error"] = math.sqrt(share * (1 - share) / n)
        outputs = run.layers(split.images, request.layers)
        found = {
            name: of_layer(outputs[name], split.labels, run.head[0], request)
            for name in (*request.layers, "features")
        }
        features = found["features"]
        metrics |= {name: x for name, x in features.items() if re.search(r"_\d+_error$", name)}
        return Measured(metrics, found)

    return measure


def of_layer(z: np.ndarray, y: np.ndarray, w: np.ndarray, request: Request) -> Metrics:
    """Interplay of a layer with the head rows of the labels, and its variability within classes.

    Zero columns bring layer and head to one width; they change no Gram matrix.

    Args:
      z: outputs, float [n, d].
      y: labels, int32 [n].
      w: head, one row per class, float [C, e].
      request: batch sizes and order.

    Returns:
      MIR and HDR by batch size with the standard errors of their means (unless there is a single
      batch), MIR and HDR of all samples with MIR's standard error, MIR's chance levels, entropy of
      the layer in nats, and NC1.
    """
    width = max(z.shape[1], w.shape[1])
    z, w = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (z, w))
    found: Metrics = {}
    for n in request.sizes:
        *measured, permuted = _of_batches(z, y, w, n, request)
        for name, values in zip(("mir", "hdr"), measured, strict=True):
            found[f"{name}_{n}"] = float(np.mean(values))
            if len(values) > 1:
                error = np.std(values, ddof=1) / math.sqrt(len(values))
                found[f"{name}_{n}_error"] = float(error)
        if request.permutations:
            means = jnp.mean(measured[0]), jnp.mean(permuted)
            found |= _floats(evaluation.beside_chance(f"mir_{n}", *means))
    return found | _floats(_of_population(z, y, w, request))


def _floats(found: dict[str, jax.Array]) -> Metrics:
    return {name: float(value) for name, value in found.items()}


@functools.partial(jax.jit, static_argnums=(3, 4))
def _of_batches(
    z: jax.Array, y: jax.Array, w: jax.Array, n: int, request: Request
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """MIR and HDR of every full batch, and MIR of batches with permuted labels."""
    number = len(y) // n
    batches = tuple(x[: number * n].reshape(number, n, *x.shape[1:]) for x in (z, y))

    def interplay(z: jax.Array, y: jax.Array) -> Interplay:
        return information.sample_interplay(z, y, w, request.alpha)

    def permuted(i: jax.Array) -> jax.Array:
        return evaluation.permuted_mir(interplay, [x[i % number] for x in batches], i)

    shared = jax.lax.map(lambda batch: interplay(*batch), batches)
    return shared.mir, shared.hdr, jax.lax.map(permuted, jnp.arange(request.permutations))


@functools.partial(jax.jit, static_argnums=3)
def _of_population(z: jax.Array, y: jax.Array, w: jax.Array, request: Request) -> dict[str, Any]:
    num_classes, width = w.shape
    statistics = Statistics.zeros(num_classes, width).update(z, y)
    whole = population.interplay(statistics, w, request.alpha, rtol=_RTOL)
    found = {
        "population_mir": whole.mir,
        "population_mir_error": whole.standard_error.mir,
        "population_hdr": whole.hdr,
        "entropy": jnp.asarray(whole.entropy_z),
        "nc1": collapse.neural_collapse(statistics, w).nc1,
    }
    if not request.permutations:
        return found
    return found | evaluation.population_chance(statistics, w, whole.mir, request.alpha)
