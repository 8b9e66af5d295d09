"""Images in one directory per class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from infojax.data import cache, decoding, image_text
from infojax.data.stored import Place
from infojax.errors import UserError


class Found(NamedTuple):
    """Image files of a split, and the class of each, int32 [n]."""

    paths: list[Path]
    labels: np.ndarray


def reading(name: str, image_size: int) -> cache.Reading:
    """Returns the images in a directory, to be read into memory.

    Args:
      name: as in `find`.
      image_size: as in `decoding.decode`.

    Returns:
      Arrays to read: `train_images`, `train_labels`, and, if there is a directory `test`,
      `test_images` and `test_labels`.

    Raises:
      UserError: as in `find`.
    """
    found = find(name)
    files = [path for split in found.values() for path in split.paths]
    return cache.Reading(
        name, files, f"image_size={image_size}", lambda: _read(name, found, image_size)
    )


def places(name: str, image_size: int) -> dict[str, Place]:
    """Returns the images in a directory, read when they are used; otherwise as `reading`."""
    return {
        split: _place(f"{name} {split}", found, image_size) for split, found in find(name).items()
    }


def _place(name: str, found: Found, image_size: int) -> Place:
    def read(rows: np.ndarray) -> list[np.ndarray]:
        paths = (found.paths[row] for row in rows)
        return [decoding.read(str(path), path, image_size) for path in paths]

    return Place(
        name,
        found.paths,
        f"image_size={image_size}",
        read,
        lambda: found.labels,
        lambda row: str(found.paths[row]),
    )


def find(name: str) -> dict[str, Found]:
    """Finds the images in a directory.

    Classes are numbered in the order of the sorted names of the training split's directories.

    Args:
      name: a directory that contains `train` and, unless the test split is taken from it, `test`,
        each with one directory per class; or the class directories themselves.

    Returns:
      The split `train` and, if there is a directory `test`, `test`.

    Raises:
      UserError: a class has no images, or a class of the test split has no training images.
    """
    splits = _splits(Path(name).expanduser())
    classes = _classes(splits["train"])
    found = {}
    for split, root in splits.items():
        paths, labels, _ = image_text.find_images(root)
        unknown = sorted(set(_classes(root)) - set(classes))
        if unknown:
            raise UserError(
                f"{root} has the class {unknown[0]!r}, which {splits['train']} lacks: add training "
                "images of this class, or remove it"
            )
        numbers = np.array([classes.index(c) for c in _classes(root)], np.int32)
        found[split] = Found(paths, numbers[labels])
    return found


def _splits(root: Path) -> dict[str, Path]:
    """Directories of the splits; without them, the whole tree is the training split."""
    if root.is_file():
        raise UserError(f"{root} is neither a directory of class directories nor an .npz file")
    if not root.is_dir():
        raise UserError(f"there is no directory {root.absolute()}")
    train, test = root / "train", root / "test"
    if test.is_dir() and train.is_dir():
        return {"train": train, "test": test}
    return {"train": train if train.is_dir() and _classes(train) else root}


def _classes(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.is_dir())


def _read(name: str, found: dict[str, Found], image_size: int) -> cache.Arrays:
    arrays: cache.Arrays = {}
    for split, (paths, labels) in found.items():
        files = ((str(path), path) for path in paths)
        images = decoding.decode(f"{name} {split}", files, len(paths), image_size)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays
