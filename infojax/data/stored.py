"""Images that stay where they are stored, and are read and decoded when they are indexed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, overload

import numpy as np
from tqdm import tqdm

from infojax.data import cache, decoding, streaming
from infojax.errors import UserError

_AT_ONCE = 64  # images that one thread scans
_VALUES = 256  # of uint8


class StoredImages:
    """Images uint8 [n, h, w, channels] stored outside memory.

    Behaves like an array of that shape: a slice selects images without reading them; an array of
    rows reads those images.
    """

    def __init__(
        self,
        read: Callable[[np.ndarray], Sequence[np.ndarray]],
        shape: tuple[int, int, int],
        rows: np.ndarray,
    ) -> None:
        """Takes a function as in `Place`, the shape of one image, and its rows in order."""
        self._read, self._shape, self._rows = read, shape, rows

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, height, width and channels."""
        return (len(self._rows), *self._shape)

    @overload
    def __getitem__(self, index: slice) -> "StoredImages": ...

    @overload
    def __getitem__(self, index: np.ndarray) -> np.ndarray: ...

    def __getitem__(self, index: slice | np.ndarray) -> "StoredImages | np.ndarray":
        rows = self._rows[index]
        if isinstance(index, slice):
            return StoredImages(self._read, self._shape, rows)
        images = np.empty((rows.size, *self._shape), np.uint8)
        for image, pixels in zip(images, self._read(rows.ravel()), strict=True):
            image[...] = pixels  # a grey image fills all channels
        return images.reshape(*rows.shape, *self._shape)

    def reordered(self, order: np.ndarray) -> "StoredImages":
        """Returns the images in the order int [n], still stored."""
        return StoredImages(self._read, self._shape, self._rows[order])


class Place(NamedTuple):
    """Where the images of a split are stored.

    Attributes:
      name: of the split, for messages.
      files: the files that are read.
      options: what else determines the images.
      read: decodes the images of rows int [b] to uint8 [h, w, channels] with 1 or 3 channels; may
        be called in several threads.
      labels: reads all labels, int32 [n].
      name_of: names a row in messages.
    """

    name: str
    files: Sequence[Path]
    options: str
    read: Callable[[np.ndarray], Sequence[np.ndarray]]
    labels: Callable[[], np.ndarray]
    name_of: Callable[[int], str]


class Scanned(NamedTuple):
    """What one pass over a split finds.

    Attributes:
      labels: int32 [n].
      shape: height, width and channels of every image.
      counts: how often each value occurs in each channel, int64 [channels, 256].
    """

    labels: np.ndarray
    shape: tuple[int, int, int]
    counts: np.ndarray


def scan(place: Place, cache_dir: Path | None = None) -> Scanned:
    """Reads every image of a split once, to find broken ones and the moments; cached.

    Raises:
      UserError: there are no images, an image is broken, or sizes differ.
    """
    reading = cache.Reading(
        place.name, place.files, f"{place.options} scanned", lambda: _scan(place), "statistics"
    )
    found = cache.fetch(reading, cache_dir)
    h, w, channels = map(int, found["shape"])
    return Scanned(found["labels"], (h, w, channels), found["counts"])


def _scan(place: Place) -> cache.Arrays:
    labels = place.labels()
    if not len(labels):
        raise UserError(f"{place.name} holds no images")
    counts: dict[int, np.ndarray] = {}
    first: np.ndarray | None = None
    chunks = -(-len(labels) // _AT_ONCE)

    def read(chunk: int) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        rows = np.arange(chunk * _AT_ONCE, min(len(labels), (chunk + 1) * _AT_ONCE))
        return _scan_rows(place, rows)

    with tqdm(total=len(labels), unit="image", desc=place.name, disable=None) as bar:
        for chunk, (image, found) in enumerate(streaming.ahead(read, 0, chunks)):
            first = image if first is None else first
            decoding.check_size(place.name_of(chunk * _AT_ONCE), image, first)
            for channels, own in found.items():
                counts[channels] = counts.get(channels, 0) + own
            bar.update(min(_AT_ONCE, len(labels) - bar.n))
    assert first is not None
    total = np.sum([np.broadcast_to(own, (max(counts), _VALUES)) for own in counts.values()], 0)
    shape = np.array([*first.shape[:2], max(counts)])
    return {"labels": labels, "shape": shape, "counts": total}


def _scan_rows(place: Place, rows: np.ndarray) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Returns the first of some images, and the counts of those with 1 and with 3 channels."""
    images = place.read(rows)
    counts: dict[int, np.ndarray] = {}
    for row, pixels in zip(rows, images, strict=True):
        decoding.check_size(place.name_of(int(row)), pixels, images[0])
        channels = pixels.shape[-1]
        counts[channels] = counts.get(channels, 0) + value_counts(pixels)
    return images[0], counts


def value_counts(images: np.ndarray) -> np.ndarray:
    """Returns how often each value occurs in each channel of uint8 [..., channels]."""
    channels = (images[..., c].ravel() for c in range(images.shape[-1]))
    return np.stack([np.bincount(channel, minlength=_VALUES) for channel in channels])
