"""Image classification data sets whose images are read when they are used."""

from pathlib import Path

import numpy as np

from infojax.data import arrays, cache, channels, folders, hub, images, memory, tfds
from infojax.data.images import ImageData, Split
from infojax.data.stored import Place, StoredImages, scan, value_counts
from infojax.errors import UserError

_SPLITS = ("train", "test")


def load(
    name: str, data_dir: str = "", image_size: int = 0, cache_dir: Path | None = None
) -> ImageData:
    """Finds a data set and leaves its images where they are; labels are in memory.

    The first start reads every image once, for the moments and to find broken files; what it finds
    is cached. Arrays of .npz files and digits stay in this machine's memory.

    Args:
      name: as in `images.load`.
      data_dir: as in `images.load`.
      image_size: as in `images.load`.
      cache_dir: as in `images.load`.

    Returns:
      The data set that `images.load` returns, with `StoredImages`.

    Raises:
      UserError: as in `images.load`; or the data set holds embeddings.
    """
    if name == images.DIGITS:
        return _of_arrays(name, images.digits(), 10, image_size, shuffled=False)
    if name.endswith(".npz"):
        found = arrays.read(name, memory.check_host)
        if arrays.embeddings(found["train_images"]):
            raise UserError(f"{name} holds embeddings, which are not streamed: set stream = False")
        return _of_arrays(name, found, None, image_size, shuffled=True)
    if not images.from_tfds(name):
        source = hub if name.startswith(hub.PREFIX) else folders
        places = source.places(name, image_size)
        return _of_places(name, places, None, image_size, cache_dir, shuffled=True)
    builder = tfds.builder(name, data_dir)
    num_classes = tfds.num_classes(name, builder)
    places = tfds.places(name, builder, _SPLITS, image_size)
    return _of_places(name, places, num_classes, image_size, cache_dir, shuffled=False)


def _of_places(
    name: str,
    places: dict[str, Place],
    num_classes: int | None,
    image_size: int,
    cache_dir: Path | None,
    shuffled: bool,
) -> ImageData:
    scanned = {split: scan(place, cache_dir) for split, place in places.items()}
    splits = {
        split: _split(
            StoredImages(places[split].read, found.shape, np.arange(len(found.labels))),
            found.labels,
            shuffled,
        )
        for split, found in scanned.items()
    }
    return _checked(name, splits, scanned["train"].counts, num_classes, image_size)


def _of_arrays(
    name: str, found: cache.Arrays, num_classes: int | None, image_size: int, shuffled: bool
) -> ImageData:
    splits = {}
    for split in _SPLITS:
        if f"{split}_images" in found:
            pixels, labels = found[f"{split}_images"], found[f"{split}_labels"]
            stored = StoredImages(pixels.__getitem__, pixels.shape[1:], np.arange(len(labels)))
            splits[split] = _split(stored, labels, shuffled)
    counts = value_counts(found["train_images"])
    return _checked(name, splits, counts, num_classes, image_size)


def _split(stored: StoredImages, labels: np.ndarray, shuffled: bool) -> Split:
    if not shuffled:
        return Split(stored, labels)
    order = images.shuffled_order(len(labels))
    return Split(stored.reordered(order), labels[order])


def _checked(
    name: str,
    splits: dict[str, Split],
    counts: np.ndarray,
    num_classes: int | None,
    image_size: int,
) -> ImageData:
    train = splits["train"]
    test = splits.get("test", Split(train.images[:0], train.labels[:0]))
    moments = channels.of_counts(counts)
    return images.checked(name, train, test, moments, num_classes, image_size)
