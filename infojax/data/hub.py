"""Image classification sets of the library `datasets`; the only module that uses it.

Code from a hub is never run: `datasets` 4 and later reads data files alone.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from infojax.data import cache, decoding
from infojax.data.stored import Place
from infojax.errors import UserError

PREFIX = "hf:"
_SPLITS = ("train", "test")
_SAVED = ("dataset_dict.json", "state.json")  # written by save_to_disk
_USE = "use hf:NAME[:CONFIG] of a set on the hub, or hf:DIRECTORY of one written by save_to_disk"
_READ_AT_ONCE = 500


def reading(name: str, image_size: int) -> cache.Reading:
    """Returns a data set, to be read into memory.

    Args:
      name: as in `_find`.
      image_size: as in `decoding.decode`.

    Returns:
      Arrays to read: `train_images`, `train_labels`, and, if there is a split test, `test_images`
      and `test_labels`.

    Raises:
      UserError: as in `_find`.
    """
    raw, image, label = _find(name)
    files = [file for rows in raw.values() for file in _cached(rows)]
    return cache.Reading(
        name, files, f"image_size={image_size}", lambda: _read(name, raw, image, label, image_size)
    )


def places(name: str, image_size: int) -> dict[str, Place]:
    """Returns a data set whose images are read when they are used; otherwise as `reading`."""
    raw, image, label = _find(name)
    return {
        split: _place(f"{name} {split}", rows, image, label, image_size)
        for split, rows in raw.items()
    }


def _place(title: str, rows: Any, image: str, label: str, image_size: int) -> Place:
    images = rows.select_columns([image])

    def name_of(row: int) -> str:
        return f"{title}: the image of row {row}"

    def read(chosen: np.ndarray) -> list[np.ndarray]:
        cells = images[chosen.tolist()][image]
        files = [_file(title, row, cell) for row, cell in zip(chosen, cells, strict=True)]
        return [decoding.read(name, file, image_size) for name, file in files]

    labels = lambda: _labels(title, rows, label)  # noqa: E731
    return Place(title, _cached(rows), f"image_size={image_size}", read, labels, name_of)


def _cached(rows: Any) -> list[Path]:
    """The files that hold a split."""
    return [Path(file["filename"]) for file in rows.cache_files]


def _find(name: str) -> tuple[dict[str, Any], str, str]:
    """Finds a data set, which the library downloads if necessary.

    Args:
      name: `hf:NAME` or `hf:NAME:CONFIG`; NAME is a set of the Hugging Face hub, or a directory
        written by `save_to_disk` or readable by `load_dataset`.

    Returns:
      The splits with encoded images, and the names of the columns of images and of labels.

    Raises:
      UserError: the library is not installed, or the data set cannot be loaded or does not hold
        labelled images.
    """
    library = _library()
    splits = _load(library, name)
    image, label = columns = _columns(library, name, splits["train"].features)
    for split, rows in splits.items():
        features = {column: rows.features.get(column) for column in columns}
        if features != {column: splits["train"].features[column] for column in columns}:
            raise UserError(f"{name}: columns {image} and {label} of {split} differ from train's")
    raw = {
        split: rows.select_columns(list(columns)).cast_column(image, library.Image(decode=False))
        for split, rows in splits.items()
    }
    return raw, image, label


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UserError("hf: data sets need a library: pip install 'infojax[hub]'") from error
    if int(datasets.__version__.split(".")[0]) < 4:  # older versions can run code from a hub
        raise UserError("hf: data sets need datasets 4 or newer: pip install -U 'infojax[hub]'")
    return datasets


def _load(library: Any, name: str) -> dict[str, Any]:
    """Returns the splits train and, if there is one, test."""
    source, _, config = name.removeprefix(PREFIX).partition(":")
    if not source:
        raise UserError(f"{name} names no data set; {_USE}")
    directory = Path(source).expanduser()
    try:
        if any((directory / file).exists() for file in _SAVED):
            found = library.load_from_disk(str(directory))
        else:
            place = str(directory) if directory.is_dir() else source
            found = library.load_dataset(place, config or None)
    except Exception as error:  # the library and its network raise many kinds
        reason = " ".join(str(error).split())
        raise UserError(f"{name} cannot be loaded ({reason}); {_USE}") from error
    if isinstance(found, library.Dataset):
        return {"train": found}
    if "train" not in found:
        raise UserError(f"{name} has no split 'train', but {', '.join(map(str, found))}")
    return {split: found[split] for split in _SPLITS if split in found}


def _columns(library: Any, name: str, features: Any) -> tuple[str, str]:
    """Returns the names of the columns of images and of labels."""
    images = [key for key, kind in features.items() if isinstance(kind, library.Image)]
    labels = [key for key, kind in features.items() if isinstance(kind, library.ClassLabel)]
    dtype = getattr(features.get("label"), "dtype", None)
    if not labels and np.dtype(dtype if isinstance(dtype, str) else "O").kind in "iu":
        labels = ["label"]
    chosen = []
    for found, usual, kind in ((images, "image", "Image"), (labels, "label", "ClassLabel")):
        if len(found) != 1 and usual not in found:
            raise UserError(
                f"{name} needs one column of type {kind}, or one of several named {usual!r} "
                f"(found: {', '.join(found) or 'none'})"
            )
        chosen.append(usual if usual in found else found[0])
    return chosen[0], chosen[1]


def _read(name: str, splits: dict[str, Any], image: str, label: str, size: int) -> cache.Arrays:
    arrays: cache.Arrays = {}
    for split, rows in splits.items():
        files = _files(f"{name} {split}", rows, image)
        arrays[f"{split}_images"] = decoding.decode(f"{name} {split}", files, len(rows), size)
        arrays[f"{split}_labels"] = _labels(f"{name} {split}", rows, label)
    return arrays


def _labels(title: str, rows: Any, label: str) -> np.ndarray:
    labels = np.asarray(rows[label][:])
    if labels.dtype.kind not in "iu":
        raise UserError(f"{title}: column {label} lacks labels")
    return labels.astype(np.int32)


def _files(title: str, rows: Any, image: str) -> Iterator[tuple[str, decoding.File]]:
    """The name and the file of each image."""
    number = 0
    for batch in rows.select_columns([image]).iter(_READ_AT_ONCE):
        for cell in batch[image]:
            yield _file(title, number, cell)
            number += 1


def _file(title: str, row: int, cell: Any) -> tuple[str, decoding.File]:
    if cell is None:
        raise UserError(f"{title}: row {row} has no image; remove it")
    content = cell["bytes"]
    file = Path(cell["path"]) if content is None else io.BytesIO(content)
    return f"{title}: the image of row {row}", file
