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
    """

    sizes: tuple[int, ...]
    alpha: float
    layers: tuple[str, ...]
    chunk: int


def make_measure(network: Network, request: Request) -> Callable[[Trained, Split], Measured]:
    """Returns a function that measures networks of one kind on a split.

    Metrics at the head are computed as in training, on all devices. To them it adds the standard
    errors of the accuracy and of the means over batches.
    """
    wanted = evaluation.Metrics(request.sizes, True, _RTOL, request.alpha)
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
      batch), MIR and HDR of all samples with MIR's standard error, entropy of the layer in nats,
      and NC1.
    """
    width = max(z.shape[1], w.shape[1])
    z, w = (np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (z, w))
    found: Metrics = {}
    for n in request.sizes:
        for name, values in _of_batches(z, y, w, n, request.alpha).items():
            found[f"{name}_{n}"] = float(np.mean(values))
            if len(values) > 1:
                error = np.std(values, ddof=1) / math.sqrt(len(values))
                found[f"{name}_{n}_error"] = float(error)
    whole = _of_population(z, y, w, request.alpha)
    return found | {name: float(value) for name, value in whole.items()}


@functools.partial(jax.jit, static_argnums=(3, 4))
def _of_batches(
    z: jax.Array, y: jax.Array, w: jax.Array, n: int, alpha: float
) -> dict[str, jax.Array]:
    """MIR and HDR of every full batch."""
    number = len(y) // n
    batches = tuple(x[: number * n].reshape(number, n, *x.shape[1:]) for x in (z, y))

    def interplay(batch: tuple[jax.Array, jax.Array]) -> Interplay:
        return information.sample_interplay(*batch, w, alpha)

    shared = jax.lax.map(interplay, batches)
    return {"mir": shared.mir, "hdr": shared.hdr}


@functools.partial(jax.jit, static_argnums=3)
def _of_population(z: jax.Array, y: jax.Array, w: jax.Array, alpha: float) -> dict[str, Any]:
    num_classes, width = w.shape
    statistics = Statistics.zeros(num_classes, width).update(z, y)
    whole = population.interplay(statistics, w, alpha, rtol=_RTOL)
    return {
        "population_mir": whole.mir,
        "population_mir_error": whole.standard_error.mir,
        "population_hdr": whole.hdr,
        "entropy": jnp.asarray(whole.entropy_z),
        "nc1": collapse.neural_collapse(statistics, w).nc1,
    }
