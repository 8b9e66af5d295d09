"""Images in an .npz file: `images` and `labels`, and `test_images` and `test_labels`."""

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from infojax.data import cache, memory
from infojax.errors import UserError

_KEYS = {"train": ("images", "labels"), "test": ("test_images", "test_labels")}
_FORM = "uint8 [n, h, w] or [n, h, w, channels]"


def read(name: str, check_size: Callable[[str, int], None] = memory.check) -> cache.Arrays:
    """Reads an .npz file; arrays of Python objects are never loaded.

    Args:
      name: the file, with images uint8 [n, h, w] or [n, h, w, channels] and integer labels [n].
      check_size: called with a name and the bytes of images before they are read.

    Returns:
      `train_images` uint8 [n, h, w, channels], `train_labels` int32 [n], and, if the file holds
      them, `test_images` and `test_labels`.

    Raises:
      UserError: the file does not exist or does not have this form, or its images are
        too large.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is no .npz file; write it with numpy.savez")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return _read(path, file, check_size)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is damaged ({error}); write it again") from error


def _read(path: Path, file: Any, check_size: Callable[[str, int], None]) -> cache.Arrays:
    arrays: cache.Arrays = {}
    for split, (images, labels) in _KEYS.items():
        present = [key for key in (images, labels) if key in file.files]
        if split == "test" and not present:
            continue
        if len(present) < 2:
            missing = labels if images in present else images
            raise UserError(
                f"{path} has no array {missing!r}; it must hold images and labels, and may hold "
                f"test_images and test_labels (found: {', '.join(file.files) or 'none'})"
            )
        check_size(f"{path}: {images}", file.zip.getinfo(f"{images}.npy").file_size)
        arrays[f"{split}_images"] = _images(path, images, file)
        arrays[f"{split}_labels"] = _labels(path, labels, file, len(arrays[f"{split}_images"]))
    return arrays


def _images(path: Path, key: str, file: Any) -> np.ndarray:
    images = _array(path, key, file)
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or 0 in images.shape:
        raise UserError(
            f"{path}: {key} must be {_FORM}, with values from 0 to 255, got {images.dtype} "
            f"{list(images.shape)}"
        )
    if images.ndim == 3:
        return images[..., None]
    if images.shape[1] in (1, 3) and images.shape[3] not in (1, 3):
        raise UserError(
            f"{path}: {key} of shape {list(images.shape)} have their channels first; save "
            f"{key}.transpose(0, 2, 3, 1)"
        )
    return images


def _labels(path: Path, key: str, file: Any, count: int) -> np.ndarray:
    labels = _array(path, key, file)
    if not np.issubdtype(labels.dtype, np.integer) or labels.shape != (count,):
        raise UserError(
            f"{path}: {key} must be integers, one for each of the {count} images, got "
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
