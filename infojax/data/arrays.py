"""Images or embeddings in an .npz file, and their labels, of one or two splits."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from infojax.data import cache, memory
from infojax.errors import UserError

_PREFIXES = {"train": "", "test": "test_"}  # of the names of a split's arrays
_INPUTS = ("images", "features")
_FORM = "uint8 [n, h, w] or [n, h, w, channels]"


def read(name: str, check_size: Callable[[str, int], None] = memory.check) -> cache.Arrays:
    """Reads an .npz file; arrays of Python objects are never loaded.

    Args:
      name: the file, with integer labels [n], and with `images` or `features` that are either
        images, uint8 [n, h, w] or [n, h, w, channels], or embeddings, floating [n, d].
      check_size: called with a name and the size of images in bytes before they are read.

    Returns:
      `train_images` uint8 [n, h, w, channels], or float32 [n, 1, 1, d] of embeddings;
      `train_labels` int32 [n]; and, if the file holds them, `test_images` and `test_labels`.

    Raises:
      UserError: the file does not exist or does not have this form, or its images are
        too large.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz file; write it with numpy.savez")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return _read(path, file, check_size)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); write it again") from error


def embeddings(x: Any) -> bool:
    """Whether inputs of a split are embeddings, as `read` returns them."""
    return isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating)


def _read(path: Path, file: Any, check_size: Callable[[str, int], None]) -> cache.Arrays:
    arrays: cache.Arrays = {}
    names = {}
    for split, prefix in _PREFIXES.items():
        if split == "test" and not _holds_any(prefix, file.files):
            continue
        names[split], labels = _names(path, prefix, file.files)
        check_size(f"{path}: {names[split]}", file.zip.getinfo(f"{names[split]}.npy").file_size)
        inputs = _inputs(path, names[split], file)
        arrays[f"{split}_images"] = inputs
        arrays[f"{split}_labels"] = _labels(path, labels, file, names[split], len(inputs))
    if "test" in names:
        _check_same_kind(path, names, arrays)
    return arrays


def _holds_any(prefix: str, found: list[str]) -> bool:
    return any(f"{prefix}{name}" in found for name in (*_INPUTS, "labels"))


def _names(path: Path, prefix: str, found: list[str]) -> tuple[str, str]:
    """Returns the names of the inputs and of the labels of a split."""
    inputs = [prefix + name for name in _INPUTS if prefix + name in found]
    labels = f"{prefix}labels"
    if len(inputs) > 1:
        raise UserError(f"{path} holds both {inputs[0]} and {inputs[1]}; keep one of them")
    if not inputs or labels not in found:
        missing = labels if inputs else f"{prefix}images"
        raise UserError(
            f"{path} has no array {missing!r}; it must hold images (or features) and labels, and "
            "may hold test_images (or test_features) and test_labels (found: "
            f"{', '.join(found) or 'none'})"
        )
    return inputs[0], labels


def _inputs(path: Path, key: str, file: Any) -> np.ndarray:
    x = _array(path, key, file)
    if x.ndim == 2 and x.size and np.issubdtype(x.dtype, np.floating):
        return _embeddings(path, key, x)
    return _images(path, key, x)


def _embeddings(path: Path, key: str, x: np.ndarray) -> np.ndarray:
    """Images of one pixel with d channels."""
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
        single = x.astype(np.float32, copy=False)
    rows = np.flatnonzero(~np.isfinite(single).all(1))
    if len(rows):
        raise UserError(
            f"{path}: {key} holds values that are not finite in float32, the first in row "
            f"{rows[0]}; remove such rows"
        )
    return single[:, None, None]


def _images(path: Path, key: str, images: np.ndarray) -> np.ndarray:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"{path}: {key} must be {_FORM}, with values from 0 to 255, or, for embeddings, "
            f"floating [n, d]; got {images.dtype} {list(images.shape)}"
        )
    if images.ndim == 3:
        return images[..., None]
    if images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise UserError(
            f"{path}: {key} of shape {list(images.shape)} have their channels first; save "
            f"{key}.transpose(0, 2, 3, 1)"
        )
    return images


def _check_same_kind(path: Path, names: dict[str, str], arrays: cache.Arrays) -> None:
    """Raises UserError if one split holds embeddings, and the other images or other embeddings."""
    train, test = arrays["train_images"], arrays["test_images"]
    differ = train.dtype != test.dtype or train.shape[1:] != test.shape[1:]
    if differ and (embeddings(train) or embeddings(test)):
        raise UserError(
            f"{path}: {names['test']} holds {_kind(test)}, but {names['train']} holds "
            f"{_kind(train)}; both must be of one kind and size"
        )


def _kind(x: np.ndarray) -> str:
    if embeddings(x):
        return f"embeddings of {x.shape[-1]} numbers"
    return f"images of {' x '.join(map(str, x.shape[1:]))}"


def _labels(path: Path, key: str, file: Any, inputs: str, count: int) -> np.ndarray:
    labels = _array(path, key, file)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (count,):
        raise UserError(
            f"{path}: {key} must be integers, one for each of the {count} {inputs}, got "
            f"{labels.dtype} {list(labels.shape)}"
        )
    outside = labels[(labels < 0) | (labels >= 2**31)]
    if len(outside):
        raise UserError(f"{path}: {key} holds {outside[0]}; number the classes from 0")
    return labels.astype(np.int32)


def _array(path: Path, key: str, file: Any) -> np.ndarray:
    try:
        array: np.ndarray = file[key]
    except ValueError as error:
        raise UserError(
            f"{path}: {key} cannot be loaded ({error}); save images as {_FORM} and labels as "
            "integers, not as Python objects"
        ) from error
    return array
