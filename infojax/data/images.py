"""Image classification data sets in memory: from TFDS, files, `datasets` or scikit-learn."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from infojax.data import arrays, cache, channels, folders, hub, memory, tfds
from infojax.data.stored import StoredImages, value_counts
from infojax.errors import UserError

DIGITS = "digits"
_DIGITS_TEST = 360
_LABELLED, _UNLABELLED = ("train", "test"), "unlabelled"  # splits
_PATH = (".", "/", "~")  # first characters of paths


class Split(NamedTuple):
    """Images uint8 [n, h, w, channels] and their labels int32 [n].

    Embeddings are images of one pixel, float32 [n, 1, 1, d].
    """

    images: np.ndarray | StoredImages
    labels: np.ndarray


class ImageData(NamedTuple):
    """A data set, in memory (`load`) or with images that stay stored (`disk.load`).

    Attributes:
      train: training split.
      test: test split; empty if the data set has none.
      num_classes: number of classes C.
      mean: of each channel over the training split, float32 [channels]; for images, in units of
        255.
      std: standard deviation of each channel over the training split, float32 [channels], in the
        same units; 1 for a constant channel.
    """

    train: Split
    test: Split
    num_classes: int
    mean: np.ndarray
    std: np.ndarray

    @property
    def of_embeddings(self) -> bool:
        """Whether it holds embeddings instead of images."""
        return arrays.embeddings(self.train.images)


def load(
    name: str, data_dir: str = "", image_size: int = 0, cache_dir: Path | None = None
) -> ImageData:
    """Loads a whole data set.

    Images of a directory, an .npz file or a set of `datasets` are shuffled once, the same way each
    time: such sets are often sorted by class, and a batch of one class has no MIR to speak of.

    Args:
      name: one of

        - `digits`: 1,797 digits of 8 x 8, bundled with scikit-learn; 360 of them the test set;
        - a TFDS image classification set, such as `cifar10`;
        - a directory with `train/CLASS/*` and `test/CLASS/*`, or with `CLASS/*`; its name begins
          with a dot, a slash or a tilde, or contains a slash and exists;
        - an `.npz` file with `images`, `labels`, and `test_images`, `test_labels`; the images
          are uint8, or embeddings, floating [n, d];
        - `hf:NAME[:CONFIG]`: a set, or a directory, of the library `datasets`.
      data_dir: directory of TFDS; if empty, the environment's TFDS_DATA_DIR, or TFDS's default,
        into which it downloads a missing data set.
      image_size: side to which images of differing sizes are resized, as in
        `decoding.decode`; 0 if all have one size.
      cache_dir: where decoded arrays are cached, so that the next start reads them in a second;
        None for `cache.directory()`.

    Returns:
      The data set.

    Raises:
      UserError: the data set cannot be found, does not hold labelled uint8 images of one size or
        embeddings, skips a class, or exceeds `memory.limit`.
    """
    if name == DIGITS:
        return _checked(name, digits(), 10, image_size)
    if name.endswith(".npz"):
        return _checked(name, _shuffled(arrays.read(name)), None, image_size)
    if not from_tfds(name):
        source = hub if name.startswith(hub.PREFIX) else folders
        found = source.reading(name, image_size)
        options = f"{found.options} shuffled"
        shuffled = found._replace(options=options, read=lambda: _shuffled(found.read()))
        return _checked(name, cache.fetch(shuffled, cache_dir), None, image_size)
    builder = tfds.builder(name, data_dir)
    num_classes = tfds.num_classes(name, builder)
    reading = tfds.reading(name, builder, _LABELLED, image_size)
    return _checked(name, cache.fetch(reading, cache_dir), num_classes, image_size)


def load_unlabelled(
    name: str, data_dir: str = "", image_size: int = 0, cache_dir: Path | None = None
) -> np.ndarray | None:
    """Loads the unlabelled images that some data sets hold beside their training split.

    Args:
      name: as in `load`.
      data_dir: as in `load`.
      image_size: as in `load`.
      cache_dir: as in `load`.

    Returns:
      The split `unlabelled`, uint8 [n, h, w, channels], if the data set comes from TFDS and has it,
      as STL-10 does; else None.

    Raises:
      UserError: as in `load`.
    """
    if not from_tfds(name):
        return None
    builder = tfds.builder(name, data_dir)
    if _UNLABELLED not in builder.info.splits:
        return None
    reading = tfds.reading(name, builder, (_UNLABELLED,), image_size)
    return cache.fetch(reading, cache_dir)[f"{_UNLABELLED}_images"]


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
      UserError: the data set has fewer images, or a split is or would be empty.
    """
    n = len(data.train.labels)
    if not 0 <= train_size <= n:
        raise UserError(f"train_size must lie in [0, {n}] (0 takes all), got {train_size}")
    if not 0 <= validation_fraction < 1:
        raise UserError(f"validation_fraction must lie in [0, 1), got {validation_fraction}")
    kept = _part(data.train, slice(train_size or n))
    if validation_fraction == 0 and not len(data.test.labels):
        raise UserError(
            "the data set has no test images: set validation_fraction "
            "(--config.validation_fraction=0.1) to evaluate on a part of the training images"
        )
    if validation_fraction == 0:
        return data._replace(train=kept)
    size = round(validation_fraction * len(kept.labels))
    if not 0 < size < len(kept.labels):
        raise UserError(f"validation_fraction = {validation_fraction} leaves a split empty")
    train, validation = (_part(kept, part) for part in _parts(size))
    return data._replace(train=train, test=validation)


def _part(split: Split, part: slice) -> Split:
    return Split(split.images[part], split.labels[part])


def _parts(size: int) -> tuple[slice, slice]:
    return slice(None, -size), slice(-size, None)


def from_tfds(name: str) -> bool:
    """Whether `load` reads a name from TFDS."""
    outside = name == DIGITS or name.endswith(".npz") or name.startswith((hub.PREFIX, *_PATH))
    return not outside and not ("/" in name and Path(name).is_dir())


def digits() -> cache.Arrays:
    """Returns scikit-learn's digits in a fixed random order."""
    from sklearn.datasets import load_digits

    found = load_digits()
    order = shuffled_order(len(found.target))
    images = np.round(found.images[order] * (255 / 16)).astype(np.uint8)[..., None]
    labels = found.target[order].astype(np.int32)
    train, test = _parts(_DIGITS_TEST)
    return {
        "train_images": images[train],
        "train_labels": labels[train],
        "test_images": images[test],
        "test_labels": labels[test],
    }


def _shuffled(found: cache.Arrays) -> cache.Arrays:
    """Shuffles each split."""
    return {key: x[shuffled_order(len(x))] for key, x in found.items()}


def shuffled_order(n: int) -> np.ndarray:
    """A fixed random order for images that may be sorted by class, int [n]."""
    return np.random.default_rng(0).permutation(n)


def _checked(name: str, found: cache.Arrays, num_classes: int | None, image_size: int) -> ImageData:
    """Returns a data set in memory."""
    images, labels = found["train_images"], found["train_labels"]
    memory.check(name, images.nbytes)
    test = Split(found.get("test_images", images[:0]), found.get("test_labels", labels[:0]))
    if arrays.embeddings(images):
        moments = channels.of_embeddings(images)
    else:
        moments = channels.of_counts(value_counts(images))
    return checked(name, Split(images, labels), test, moments, num_classes, image_size)


def checked(
    name: str,
    train: Split,
    test: Split,
    moments: channels.Moments,
    num_classes: int | None,
    image_size: int,
) -> ImageData:
    """Returns a data set, after checking that its splits fit each other.

    Args:
      name: of the data set, for messages.
      train: training split.
      test: test split, possibly empty.
      moments: mean and standard deviation of the training images.
      num_classes: number of classes C; None if the training labels determine it.
      image_size: side that the images should have; 0 for any.

    Raises:
      UserError: sizes differ, or a label is missing or not one of the classes.
    """
    shape = train.images.shape[1:]
    if test.images.shape[1:] != shape:
        sizes = [" x ".join(map(str, x.shape[1:])) for x in (test.images, train.images)]
        raise UserError(
            f"{name}: test images are {sizes[0]} (height x width x channels), but training images "
            f"are {sizes[1]}; bring them to one size (image_size) and number of channels"
        )
    if image_size and shape[:2] != (image_size, image_size):
        raise UserError(
            f"{name} holds arrays of {shape[0]} x {shape[1]}, which image_size = {image_size} does "
            "not resize: set image_size = 0"
        )
    if num_classes is None:
        num_classes = _count_classes(name, train.labels)
    for split, labels in (("train", train.labels), ("test", test.labels)):
        outside = labels[(labels < 0) | (labels >= num_classes)]
        if len(outside):
            raise UserError(
                f"{name}: the label {outside[0]} of split {split} is not one of the {num_classes} "
                f"classes of the training images, 0 to {num_classes - 1}; remove such images"
            )
    return ImageData(train, test, num_classes, *moments)


def _count_classes(name: str, labels: np.ndarray) -> int:
    """Number of classes; raises UserError if the labels skip one."""
    present = np.unique(labels[labels >= 0])
    skipped = np.flatnonzero(present != np.arange(len(present)))
    if len(skipped):
        raise UserError(
            f"{name}: no training image has the label {skipped[0]}, though the largest label is "
            f"{present[-1]}; number the classes from 0 without gaps"
        )
    return max(len(present), 1)
