"""One thing varied at a time: what features of a network are measured against what, and how."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from infojax.data.images import Split
from launch import pairs
from launch.pairs import Batches, Metrics, Pair
from launch.results import extrapolation
from launch.trained import Trained

BASE = "base"  # features of the evaluated split against head rows, at order 1
FACTORS = ("batch size", "order", "split", "features", "classes", "layer", "against")
_CENTRED, _BOTH = "centred", "centred, and head"
_MEANS, _LOGITS, _TARGETS = "class means", "logits", "one-hot targets"
_SMALLEST = 4  # samples in the smallest batches to extrapolate from


class Outputs(NamedTuple):
    """A network on the chosen images of a split.

    Attributes:
      y: labels, int32 [N].
      layers: outputs by name, `features` [N, d] among them, float32 [N, d or more].
      logits: float32 [N, C].
      w: head rows, float32 [C, d].
    """

    y: np.ndarray
    layers: dict[str, np.ndarray]
    logits: np.ndarray
    w: np.ndarray

    @property
    def base(self) -> Pair:
        """Features against the head rows of the labels."""
        return Pair(self.layers["features"], pairs.of_labels(self.w, self.y))


def outputs(run: Trained, split: Split, layers: list[str]) -> Outputs:
    """Returns the outputs of a network on a split, layers at least as wide as the features."""
    found = run.layers(split.images, layers)
    width = found["features"].shape[1]
    wide = {name: pairs.widened(z, width) for name, z in found.items()}
    return Outputs(split.labels, wide, run.features(split.images)[1], run.head[0])


class Settings(NamedTuple):
    """How points are measured.

    Attributes:
      batch_size: while something else is varied.
      batch_sizes: ascending, below the number of images.
      orders: of the entropies, as texts.
      imbalances: the largest class over the smallest.
      permutations: for the chance level of batches.
    """

    batch_size: int
    batch_sizes: tuple[int, ...]
    orders: tuple[str, ...]
    imbalances: tuple[float, ...]
    permutations: int


def values(settings: Settings, others: list[str], blocks: list[str]) -> list[tuple[str, str]]:
    """Returns every factor with every value that is not the base's.

    Args:
      settings: of the study.
      others: names of the splits beside the evaluated one.
      blocks: names of the layers below the features.
    """
    by_factor = {
        "batch size": [str(n) for n in settings.batch_sizes],
        "order": [order for order in settings.orders if float(order) != 1],
        "split": others,
        "features": [_CENTRED, _BOTH],
        "classes": [f"1 : {ratio:g}" for ratio in settings.imbalances],
        "layer": blocks,
        "against": [_MEANS, _LOGITS, _TARGETS],
    }
    return [(BASE, ""), *((factor, value) for factor in FACTORS for value in by_factor[factor])]


class Varying:
    """Measures the points of one network; batches that several points need are measured once."""

    def __init__(self, settings: Settings, outputs_of: Callable[[str], Outputs]) -> None:
        """Remembers how to measure.

        Args:
          settings: of the study.
          outputs_of: the network's outputs on a split, by its name; "" is the evaluated one.
        """
        self._settings, self._outputs_of = settings, outputs_of
        self._of_base: dict[int, Batches] = {}

    def measure(self, factor: str, value: str) -> dict[str, Any]:
        """Returns the metrics of a point: of batches, and of all samples or their extrapolation."""
        if factor == "batch size":
            n = int(value)
            return {"batch": pairs.summarized(self._base(n)), "extrapolated": self._extrapolated(n)}
        alpha = float(value) if factor == "order" else 1.0
        found = self._outputs_of(value if factor == "split" else "")
        pair = varied(found, factor, value)
        point: dict[str, Any] = self._at_both_sizes(pair, alpha)
        if factor == BASE:
            hits = np.argmax(found.logits, 1) == found.y
            point |= {"accuracy": float(np.mean(hits)), "images": len(found.y)}
        return point

    def _at_both_sizes(self, pair: Pair, alpha: float) -> dict[str, Metrics]:
        sizes = {"batch": self._settings.batch_size, "all": len(pair.z)}
        number = self._settings.permutations
        return {
            name: pairs.summarized(pairs.of_batches(pair, n, alpha, number))
            for name, n in sizes.items()
        }

    def _base(self, n: int) -> Batches:
        if n not in self._of_base:
            pair, number = self._outputs_of("").base, self._settings.permutations
            self._of_base[n] = pairs.of_batches(pair, n, 1.0, number)
        return self._of_base[n]

    def _extrapolated(self, n: int) -> dict[str, float | None] | None:
        """From batches of n and n/2; None if these are too small, or their features constant."""
        if n % 2 or n // 2 < _SMALLEST:
            return None
        samples = len(self._outputs_of("").y)
        groups, parts = samples // n, (1, 2)
        entropies = [pairs.entropies(self._base(n // k), groups, k) for k in parts]
        found = extrapolation.mir_of_population(
            np.stack(entropies, 1), [n // k for k in parts], samples
        )
        return None if found.value is None else found._asdict()


def varied(found: Outputs, factor: str, value: str) -> Pair:
    """Returns the pair of a point: the base with one thing changed.

    Features are centred about the mean of all images, and head rows about their mean over classes.
    Unequal classes keep their first images, in numbers that fall geometrically from all to a share
    of 1/ratio. Class means are those of the same images, about the mean of all.
    """
    z, y, w = found.layers["features"], found.y, found.w
    match factor:
        case "layer":
            return found.base._replace(z=found.layers[value])
        case "features":
            head = w - w.mean(0) if value == _BOTH else w
            return Pair(z - z.mean(0), pairs.of_labels(head, y))
        case "classes":
            kept = imbalanced(y, len(w), float(value.removeprefix("1 : ")))
            return Pair(*(x[kept] for x in found.base))
        case "against":
            rows = {_MEANS: _class_means(z, y, len(w)), _TARGETS: np.eye(len(w))}
            v = found.logits if value == _LOGITS else pairs.of_labels(rows[value], y)
            return found.base._replace(v=v)
    return found.base


def imbalanced(y: np.ndarray, num_classes: int, ratio: float) -> np.ndarray:
    """Returns the first rows of classes whose sizes fall geometrically to 1/ratio, shuffled."""
    shares = ratio ** (-np.arange(num_classes) / (num_classes - 1))
    kept = np.zeros(len(y), bool)
    for c, share in enumerate(shares):
        own = np.flatnonzero(y == c)
        kept[own[: max(1, round(share * len(own)))]] = True
    return np.random.default_rng(0).permutation(np.flatnonzero(kept))


def _class_means(z: np.ndarray, y: np.ndarray, num_classes: int) -> np.ndarray:
    sums = np.stack([z[y == c].astype(np.float64).sum(0) for c in range(num_classes)])
    counts = np.maximum(np.bincount(y, minlength=num_classes), 1)
    return sums / counts[:, None] - z.astype(np.float64).mean(0)
