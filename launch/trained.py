"""A trained network, as read from the directory of a run."""

import dataclasses
import functools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import serialization
from ml_collections import ConfigDict

from infojax.errors import UserError
from infojax.models import layers
from infojax.training import checkpoint, read_records

Forward = Callable[[Any, Any, jax.Array], tuple[jax.Array, jax.Array]]


class Network(NamedTuple):
    """What an experiment knows of the network that a config trains.

    Attributes:
      model: the network itself.
      shapes: params and model_state, as trees of shapes and dtypes.
      forward: features [n, d] and logits [n, C] of params, model_state and inputs.
      head_of: head rows w [C, d] and biases b [C] of the parameters.
      input_shape: of one input.
      check: returns inputs as something that can be indexed with rows, or raises UserError if they
        do not fit.
      batch_size: inputs of one forward pass.
      data: reads the data that a seed is trained and evaluated on.
    """

    model: Any
    shapes: tuple[Any, Any]
    forward: Forward
    head_of: Callable[[Any], tuple[jax.Array, jax.Array]]
    input_shape: tuple[int, ...]
    check: Callable[[Any], Any]
    batch_size: int
    data: Callable[[int], Any]


@dataclasses.dataclass(frozen=True)
class Trained:
    """A trained network: a checkpoint of one seed of a run, the newest intact one by default.

    Attributes:
      workdir: directory of the run.
      config: what ran.
      seed: which seed of the run.
      records: lines of metrics.jsonl; `pandas.DataFrame(run.records)` is a table of them.
      step: number of updates made.
      params: the evaluated parameters: their moving average, if one is kept.
      model_state: other variables, such as BatchNorm's statistics.
      network: what the experiment knows of the network.
    """

    workdir: Path
    config: ConfigDict
    seed: int
    records: list[dict[str, float]] = dataclasses.field(repr=False)
    step: int
    params: Any = dataclasses.field(repr=False)
    model_state: Any = dataclasses.field(repr=False)
    network: Network = dataclasses.field(repr=False)

    @property
    def model(self) -> Any:
        """The network; for image classification, an `infojax.models.classifier.Classifier`."""
        return self.network.model

    @property
    def head(self) -> tuple[np.ndarray, np.ndarray]:
        """Head rows w [C, d] and biases b [C]."""
        w, b = self.network.head_of(self.params)
        return np.asarray(w), np.asarray(b)

    def features(self, inputs: Any) -> tuple[np.ndarray, np.ndarray]:
        """Returns features [n, d] and logits [n, C].

        Args:
          inputs: as the run's data hold them: for image classification, images uint8
            [n, h, w, channels], which are standardised as in training; for grokking, pairs of
            operands, integer [n, 2].

        Raises:
          UserError: the inputs do not fit the network.
        """
        result: tuple[np.ndarray, np.ndarray] = self._in_batches(None, inputs)
        return result

    def layers(self, inputs: Any, names: Iterable[str]) -> dict[str, np.ndarray]:
        """Returns the outputs [n, d] of layers, averaged over pixels or tokens.

        Args:
          inputs: as in `features`.
          names: of the layers, some of `layer_names`.

        Returns:
          Outputs by name, and `features`.

        Raises:
          UserError: there is no such layer.
        """
        chosen, known = tuple(names), self.layer_names(inputs)
        unknown = [name for name in chosen if name not in known]
        if unknown:
            raise UserError(f"there is no layer {unknown[0]!r}; use {', '.join(known) or 'none'}")
        result: dict[str, np.ndarray] = self._in_batches(chosen, inputs)
        return result

    def layer_names(self, inputs: Any) -> list[str]:
        """Returns the names of the layers in order; [] for a network that is not a linen module."""
        batch = self.network.check(inputs)[np.zeros(1, int)]
        return layers.names(self.network.forward, self.params, self.model_state, batch)

    def data(self) -> Any:
        """Reads the data that this seed was trained and evaluated on.

        For image classification, an `infojax.data.images.ImageData`; for grokking, the training and
        the test `infojax.data.modular.Examples`.
        """
        return self.network.data(self.seed)

    def _in_batches(self, names: tuple[str, ...] | None, inputs: Any) -> Any:
        x = self.network.check(inputs)
        n, compiled = x.shape[0], _compiled(self.network.forward, names)
        size, parts = min(n, self.network.batch_size), []
        for start in range(0, n, size):
            rows = np.minimum(np.arange(start, start + size), n - 1)  # one shape for all
            parts.append(jax.device_get(compiled(self.params, self.model_state, x[rows])))
        return jax.tree.map(lambda *part: np.concatenate(part)[:n], *parts)


@functools.lru_cache(maxsize=16)
def _compiled(forward: Forward, names: tuple[str, ...] | None) -> Callable[..., Any]:
    """The forward pass, or the one to layers."""
    return jax.jit(forward if names is None else layers.outputs(forward, names))


def read(
    workdir: Path,
    config: ConfigDict,
    seed: int,
    directory: Path,
    network: Network,
    step: int | None = None,
) -> Trained:
    """Reads a checkpoint of a seed.

    Args:
      workdir: of the run.
      config: of the run.
      seed: which seed.
      directory: of the seed.
      network: the one that the config trains.
      step: of the checkpoint; None for the newest intact one.

    Raises:
      UserError: there is none, or it is of another network.
    """
    step, arrays = checkpoint.load(directory / "checkpoints", step)
    params_shapes, state_shapes = network.shapes
    state = {name: x for name, x in arrays["model_state"].items() if name in state_shapes}
    found = {
        "params": arrays["params"] if arrays["ema"] is None else arrays["ema"],
        "model_state": state,
    }
    shapes = {"params": params_shapes, "model_state": state_shapes}
    difference = checkpoint.first_difference(serialization.to_state_dict(shapes), found)
    if difference:
        raise UserError(
            f"{directory / 'checkpoints'} holds another network than config.json: {difference}"
        )
    restored = jax.device_put(serialization.from_state_dict(shapes, found))
    records = read_records(directory)
    return Trained(
        workdir, config, seed, records, step, restored["params"], restored["model_state"], network
    )
