"""Image classification data sets of TFDS; the only module that uses it."""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from infojax.data import cache, decoding, memory
from infojax.data.stored import Place
from infojax.errors import UserError

_READ_AT_ONCE = 2000


def builder(name: str, data_dir: str) -> Any:
    """Returns the builder of a data set, which it downloads and prepares if necessary.

    Raises:
      UserError: the data set is unknown, not prepared as array_record, or neither prepared here nor
        downloadable.
    """
    import tensorflow_datasets as tfds

    directory = data_dir or os.environ.get("TFDS_DATA_DIR")
    ways_out = (
        f"dataset {name!r} is not prepared in {directory or '~/tensorflow_datasets'}; set "
        "TFDS_DATA_DIR (or --config.data_dir) to a directory that holds it, or let TFDS prepare "
        "it: on a machine with a network, pip install tensorflow and run the same command"
    )
    try:
        found = tfds.builder(name, data_dir=directory, file_format="array_record")
        if found.data_path.exists():
            return found
        import tensorflow  # noqa: F401 - TFDS needs it to prepare most data sets
    except ImportError as error:
        raise UserError(ways_out) from error
    except (tfds.core.registered.DatasetNotFoundError, ValueError) as error:
        raise UserError(_unusable(name, directory, error)) from error
    try:
        found.download_and_prepare()
    except Exception as error:  # a download can fail in many ways
        raise UserError(f"{ways_out} (it failed: {str(error).splitlines()[0]})") from error
    return found


def num_classes(name: str, builder: Any) -> int:
    """Returns the number of classes.

    Raises:
      UserError: the data set does not hold labelled images.
    """
    features = builder.info.features
    if not {"image", "label"} <= set(features) or not hasattr(features["label"], "num_classes"):
        raise UserError(
            f"dataset {name!r} has the features {', '.join(features)}, but needs image "
            "(tfds.features.Image) and label (tfds.features.ClassLabel)"
        )
    return int(features["label"].num_classes)


def reading(name: str, builder: Any, splits: Sequence[str], image_size: int) -> cache.Reading:
    """Returns the images and labels of some splits, to be read into memory.

    Args:
      name: of the data set.
      builder: its builder.
      splits: names of splits; the first must exist, others are left out if they do not.
      image_size: as in `decoding.decode`.

    Raises:
      UserError: the data set has no such split, or does not hold uint8 images of one size although
        image_size is 0.
    """
    present = _present(name, builder, splits, image_size)
    options = f"{builder.version} {present} image_size={image_size}"
    return cache.Reading(
        name, _files(builder), options, lambda: _read(name, builder, present, image_size)
    )


def places(name: str, builder: Any, splits: Sequence[str], image_size: int) -> dict[str, Place]:
    """Returns the images and labels of some splits, read when used; otherwise as `reading`."""
    return {
        split: _place(name, builder, split, image_size)
        for split in _present(name, builder, splits, image_size)
    }


def _place(name: str, builder: Any, split: str, image_size: int) -> Place:
    source = _source(name, builder, split)

    def read(rows: np.ndarray) -> list[np.ndarray]:
        return _pixels(name, source.__getitems__(rows.tolist()), image_size)

    return Place(
        f"{name} {split}",
        _files(builder),
        f"{builder.version} image_size={image_size}",
        read,
        lambda: _labels(builder, split),
        lambda row: f"{name} {split}: image {row}",
    )


def _present(name: str, builder: Any, splits: Sequence[str], image_size: int) -> list[str]:
    """Returns the splits that exist."""
    shape = builder.info.features["image"].shape
    if len(shape) != 3 or shape[2] is None:
        raise UserError(
            f"dataset {name!r}: the feature image must be tfds.features.Image(shape=(h, w, "
            f"channels)) with 1 or 3 channels, got shape {shape}"
        )
    if not image_size and None in shape:
        raise UserError(
            f"dataset {name!r} does not hold images of one size: set image_size "
            "(--config.image_size=32) to resize them"
        )
    if splits[0] not in builder.info.splits:
        raise UserError(
            f"dataset {name!r} has no split {splits[0]!r}, but {', '.join(builder.info.splits)}"
        )
    return [split for split in splits if split in builder.info.splits]


def _files(builder: Any) -> list[Path]:
    return [path for path in Path(str(builder.data_path)).rglob("*") if path.is_file()]


def _unusable(name: str, directory: str | None, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0]
    if "file format" in reason.lower():
        return (
            f"dataset {name!r} in {directory} is not prepared as array_record; prepare it with "
            f"file_format='array_record' ({reason})"
        )
    other = "docs/data.md lists what dataset may name"
    hint = f"; {f'write ./{name} for the directory' if Path(name).is_dir() else other}"
    return f"dataset = {name!r} is unknown to TFDS ({reason}){hint}"


def _read(name: str, builder: Any, splits: Sequence[str], image_size: int) -> cache.Arrays:
    arrays: cache.Arrays = {}
    for split in splits:
        images, labels = _read_split(name, builder, split, image_size)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays


def _read_split(
    name: str, builder: Any, split: str, image_size: int
) -> tuple[np.ndarray, np.ndarray]:
    source = _source(name, builder, split)
    shape = builder.info.features["image"].shape
    side = (image_size, image_size) if image_size else shape[:2]
    shape = (len(source), *side, shape[2])
    memory.check(f"{name} {split}", math.prod(shape))
    images, labels = np.empty(shape, np.uint8), np.empty(len(source), np.int32)
    with tqdm(total=len(source), unit="image", desc=f"{name} {split}", disable=None) as bar:
        for start in range(0, len(source), _READ_AT_ONCE):
            rows = list(range(start, min(start + _READ_AT_ONCE, len(source))))
            examples = source.__getitems__(rows)
            images[rows] = _pixels(name, examples, image_size)
            labels[rows] = [example["label"] for example in examples]
            bar.update(len(rows))
    return images, labels


def _source(name: str, builder: Any, split: str) -> Any:
    """Random access to a split."""
    try:
        return builder.as_data_source(split=split)
    except NotImplementedError as error:
        raise UserError(
            f"dataset {name!r} is not prepared as array_record; prepare it with "
            "file_format='array_record'"
        ) from error


def _pixels(name: str, examples: Sequence[Any], image_size: int) -> list[np.ndarray]:
    if examples[0]["image"].dtype != np.uint8:
        raise UserError(f"dataset {name!r} holds images of {examples[0]['image'].dtype}, not uint8")
    pixels = [example["image"] for example in examples]
    return [decoding.fitted(x, image_size) for x in pixels] if image_size else pixels


def _labels(builder: Any, split: str) -> np.ndarray:
    """Reads the labels of a split without decoding its images."""
    import tensorflow_datasets as tfds

    source = builder.as_data_source(split=split, decoders={"image": tfds.decode.SkipDecoding()})
    labels = np.empty(len(source), np.int32)
    for start in range(0, len(source), _READ_AT_ONCE):
        rows = list(range(start, min(start + _READ_AT_ONCE, len(source))))
        labels[rows] = [example["label"] for example in source.__getitems__(rows)]
    return labels
