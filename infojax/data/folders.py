"""Images in one directory per class: `train/CLASS/*` and `test/CLASS/*`, or `CLASS/*`."""

from pathlib import Path

import numpy as np

from infojax.data import cache, decoding, image_text
from infojax.errors import UserError


def reading(name: str, image_size: int) -> cache.Reading:
    """Finds the images in a directory.

    Classes are numbered in the order of the sorted names of the training split's directories.

    Args:
      name: a directory that contains `train` and, unless a part of it is split off, `test`, each
        with one directory per class; or the directories of classes themselves.
      image_size: as in `decoding.decode`.

    Returns:
      Arrays to read: `train_images`, `train_labels`, and, if there is a directory `test`,
      `test_images` and `test_labels`.

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
        found[split] = (paths, numbers[labels])
    files = [path for paths, _ in found.values() for path in paths]
    return cache.Reading(
        name, files, f"image_size={image_size}", lambda: _read(name, found, image_size)
    )


def _splits(root: Path) -> dict[str, Path]:
    """Directories of the splits; the whole tree is for training if it has none."""
    if not root.is_dir():
        raise UserError(f"there is no directory {root}")
    train, test = root / "train", root / "test"
    if test.is_dir() and train.is_dir():
        return {"train": train, "test": test}
    return {"train": train if train.is_dir() and _classes(train) else root}


def _classes(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.is_dir())


def _read(
    name: str, found: dict[str, tuple[list[Path], np.ndarray]], image_size: int
) -> cache.Arrays:
    arrays: cache.Arrays = {}
    for split, (paths, labels) in found.items():
        files = ((str(path), path) for path in paths)
        images = decoding.decode(f"{name} {split}", files, len(paths), image_size)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
    return arrays
