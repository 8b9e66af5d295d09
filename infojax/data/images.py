"""Image classification data sets in memory, from TFDS or scikit-learn (digits).

The only module that uses TFDS.
"""

import contextlib
import hashlib
import os
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from infojax.errors import UserError

_READ_AT_ONCE = 2000
_DIGITS = "digits"
_DIGITS_TEST = 360
_LABELLED, _UNLABELLED = ("train", "test"), "unlabelled"  # splits


class Split(NamedTuple):
    """Images uint8 [n, h, w, channels] and their labels int32 [n]."""

    images: np.ndarray
    labels: np.ndarray


class ImageData(NamedTuple):
    """A data set in memory.

    Attributes:
      train: training split.
      test: test split.
      num_classes: number of classes C.
      mean: of each channel over the training split, in units of 255, float32 [channels].
      std: standard deviation of each channel over the training split, float32 [channels].
    """

    train: Split
    test: Split
    num_classes: int
    mean: np.ndarray
    std: np.ndarray


def load(name: str, data_dir: str = "", cache_dir: Path | None = None) -> ImageData:
    """Loads a whole data set.

    Args:
      name: `digits` (1,797 digits of 8 x 8, bundled with scikit-learn; 360 of them the test set),
        or a TFDS image classification set with splits train and test, such as `cifar10`.
      data_dir: directory of TFDS; if empty, the environment's TFDS_DATA_DIR, or TFDS's default,
        into which it downloads a missing data set.
      cache_dir: where decoded arrays are cached, so that the next start reads them in a second;
        None for `$XDG_CACHE_HOME/infojax/data` (XDG_CACHE_HOME defaults to ~/.cache).

    Returns:
      The data set.

    Raises:
      UserError: the data set is unknown, does not hold labelled images of one size, or is neither
        prepared here nor downloadable.
    """
    if name == _DIGITS:
        return _digits()
    builder = _builder(name, data_dir)
    num_classes = _num_classes(name, builder.info.features)
    arrays = _cached(name, builder, _LABELLED, cache_dir)
    train, test = (Split(arrays[f"{s}_images"], arrays[f"{s}_labels"]) for s in _LABELLED)
    return ImageData(train, test, num_classes, *_moments(train.images))


def load_unlabelled(
    name: str, data_dir: str = "", cache_dir: Path | None = None
) -> np.ndarray | None:
    """Loads the unlabelled images that some data sets hold beside their training split.

    Args:
      name: as in `load`.
      data_dir: as in `load`.
      cache_dir: as in `load`.

    Returns:
      The split `unlabelled`, uint8 [n, h, w, channels], if the data set has one, as STL-10 does;
      else None.

    Raises:
      UserError: as in `load`.
    """
    if name == _DIGITS:
        return None
    builder = _builder(name, data_dir)
    if _UNLABELLED not in builder.info.splits:
        return None
    return _cached(name, builder, (_UNLABELLED,), cache_dir)[f"{_UNLABELLED}_images"]


def subset(data: ImageData, train_size: int, validation_fraction: float) -> ImageData:
    """Keeps the first train_size training images, and splits off the last of them for validation.

    Args:
      data: a data set.
      train_size: training images to keep; 0 keeps all.
      validation_fraction: share of the kept images, in [0, 1), that replaces the test split; 0
        keeps the test split.

    Returns:
      The data set; mean and std remain those of the whole training split.

    Raises:
      UserError: the data set has fewer images, or a split would be empty.
    """
    n = len(data.train.labels)
    if not 0 <= train_size <= n:
        raise UserError(f"train_size must lie in [0, {n}] (0 takes all), got {train_size}")
    if not 0 <= validation_fraction < 1:
        raise UserError(f"validation_fraction must lie in [0, 1), got {validation_fraction}")
    kept = Split(*(x[: train_size or n] for x in data.train))
    if validation_fraction == 0:
        return data._replace(train=kept)
    size = round(validation_fraction * len(kept.labels))
    if not 0 < size < len(kept.labels):
        raise UserError(f"validation_fraction = {validation_fraction} leaves a split empty")
    train, validation = (Split(*(x[part] for x in kept)) for part in _parts(size))
    return data._replace(train=train, test=validation)


def _parts(size: int) -> tuple[slice, slice]:
    return slice(None, -size), slice(-size, None)


def _digits() -> ImageData:
    from sklearn.datasets import load_digits

    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    images = np.round(digits.images[order] * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target[order].astype(np.int32)
    train, test = (Split(images[part], labels[part]) for part in _parts(_DIGITS_TEST))
    return ImageData(train, test, 10, *_moments(train.images))


def _moments(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, from exact counts of the 256 values."""
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(images.shape[-1])]
    share = np.stack(counts) / images[..., 0].size
    values = np.arange(256) / 255
    mean = share @ values
    std = np.sqrt(share @ values**2 - mean**2)
    return mean.astype(np.float32), std.astype(np.float32)


def _default_cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return root / "infojax" / "data"


def _cached(
    name: str, builder: Any, splits: tuple[str, ...], cache_dir: Path | None
) -> dict[str, np.ndarray]:
    """Returns the arrays of some splits from the cache, filling it first if necessary."""
    identity = hashlib.sha256(str(builder.data_path).encode()).hexdigest()[:12]
    suffix = "" if splits == _LABELLED else f"-{'-'.join(splits)}"
    cache = (cache_dir or _default_cache()) / f"{name}-{builder.version}-{identity}{suffix}.npz"
    arrays = _read_cache(cache)
    if arrays is None:
        arrays = _read(name, builder, splits)
        _write_cache(cache, arrays)
    return arrays


def _builder(name: str, data_dir: str) -> Any:
    """Returns the TFDS builder of a data set, which it downloads and prepares if necessary."""
    import tensorflow_datasets as tfds

    directory = data_dir or os.environ.get("TFDS_DATA_DIR")
    ways_out = (
        f"dataset {name!r} is not prepared in {directory or '~/tensorflow_datasets'}; set "
        "TFDS_DATA_DIR (or --config.data_dir) to a directory that holds it, or let TFDS prepare "
        "it: on a machine with a network, pip install tensorflow and run the same command"
    )
    try:
        builder = tfds.builder(name, data_dir=directory, file_format="array_record")
        if builder.data_path.exists():
            return builder
        import tensorflow  # noqa: F401 - TFDS needs it to prepare most data sets
    except ImportError as error:
        raise UserError(ways_out) from error
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"dataset = {name!r} is unknown to TFDS ({reason})") from error
    try:
        builder.download_and_prepare()
    except Exception as error:  # a download can fail in many ways
        raise UserError(f"{ways_out} (it failed: {str(error).splitlines()[0]})") from error
    return builder


def _num_classes(name: str, features: Any) -> int:
    usable = {"image", "label"} <= set(features) and hasattr(features["label"], "num_classes")
    if not usable or None in features["image"].shape:
        raise UserError(f"dataset {name!r} does not hold images of one size with a class label")
    return int(features["label"].num_classes)


def _read(name: str, builder: Any, splits: tuple[str, ...]) -> dict[str, np.ndarray]:
    arrays: dict[str, np.ndarray] = {}
    for split in splits:
        if split not in builder.info.splits:
            raise UserError(f"dataset {name!r} has no split {split!r}")
        source = builder.as_data_source(split=split)
        images = np.empty((len(source), *builder.info.features["image"].shape), np.uint8)
        labels = np.empty(len(source), np.int32)
        with tqdm(total=len(source), unit="image", desc=f"{name} {split}", disable=None) as bar:
            for start in range(0, len(source), _READ_AT_ONCE):
                rows = list(range(start, min(start + _READ_AT_ONCE, len(source))))
                examples = source.__getitems__(rows)
                images[rows] = [example["image"] for example in examples]
                labels[rows] = [example["label"] for example in examples]
                bar.update(len(rows))
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


def _read_cache(path: Path) -> dict[str, np.ndarray] | None:
    """Returns the arrays, or None if they are missing or damaged."""
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile):
        return None


def _write_cache(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes atomically; a cache that cannot be written is skipped."""
    partial = path.with_suffix(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(partial, path)
    except OSError:
        with contextlib.suppress(OSError):
            partial.unlink()
