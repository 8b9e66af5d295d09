"""Decodes image files to arrays, by Pillow in a pool of threads."""

import itertools
import math
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps
from tqdm import tqdm

from infojax.data import memory
from infojax.errors import UserError

_AT_ONCE = 2000  # images submitted to the pool
_GREY = ("1", "L", "LA")
_DEEP = ("I", "F")  # first letter of modes with more than 8 bits per channel

File = Path | IO[bytes]


def decode(
    title: str, files: Iterable[tuple[str, File]], count: int, image_size: int
) -> np.ndarray:
    """Decodes image files.

    Images are rotated upright according to their EXIF data. Transparency is dropped. If some images
    are grey and others in colour, all become colour images.

    Args:
      title: names the images in messages and in the progress bar.
      files: the name of each image, for messages, and its file.
      count: number of files n, at least 1.
      image_size: side s to resize the shorter side to before the centre is cropped (bicubic); 0 if
        all images have one size.

    Returns:
      Images uint8 [n, h, w, channels], with 1 or 3 channels; h = w = s unless s = 0.

    Raises:
      UserError: an image is broken or has more than 8 bits per channel, sizes differ although
        image_size is 0, or the images exceed `memory.limit`.
    """
    images: np.ndarray | None = None
    waiting, rows = iter(files), itertools.count()
    with (
        ThreadPoolExecutor() as pool,
        tqdm(total=count, unit="image", desc=title, disable=None) as bar,
    ):
        while batch := list(itertools.islice(waiting, _AT_ONCE)):
            decoded = pool.map(lambda item: read(item[0], item[1], image_size), batch)
            for (name, _), row, pixels in zip(batch, rows, decoded, strict=False):
                if images is None:
                    images = _empty(title, (count, *pixels.shape))
                if pixels.shape[-1] > images.shape[-1]:
                    images = _coloured(title, images)
                check_size(name, pixels, images)
                images[row] = pixels
            bar.update(len(batch))
    assert images is not None, "no files"
    return images


def fitted(pixels: np.ndarray, image_size: int) -> np.ndarray:
    """Resizes the shorter side of an image and crops the centre.

    Args:
      pixels: uint8 [h, w, channels] with 1 or 3 channels.
      image_size: side s of the result.

    Returns:
      Pixels uint8 [s, s, channels].
    """
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    return _array(_fit(image, image_size))


def read(name: str, file: File, image_size: int) -> np.ndarray:
    """Decodes one image as `decode` does; returns uint8 [h, w, channels], 1 or 3 channels."""
    try:
        with Image.open(file) as opened:
            if image_size:
                opened.draft(None, (2 * image_size, 2 * image_size))  # a JPEG decodes faster
            image = ImageOps.exif_transpose(opened)
    except Exception as error:  # Pillow raises many kinds
        reason = " ".join(str(error).split())
        raise UserError(f"{name} is a broken image: replace or remove it ({reason})") from error
    if image.mode.startswith(_DEEP):
        raise UserError(f"{name} has more than 8 bits per channel: save it with 8 bits")
    if image.mode == "P":
        image = image.convert("RGBA")
    image = image.convert("L" if image.mode in _GREY else "RGB")
    return _array(_fit(image, image_size) if image_size else image)


def _fit(image: Image.Image, size: int) -> Image.Image:
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def _array(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _empty(title: str, shape: tuple[int, ...]) -> np.ndarray:
    memory.check(title, math.prod(shape))
    return np.empty(shape, np.uint8)


def _coloured(title: str, images: np.ndarray) -> np.ndarray:
    memory.check(title, 3 * images.size)
    return np.repeat(images, 3, -1)


def check_size(name: str, pixels: np.ndarray, images: np.ndarray) -> None:
    """Raises UserError if an image differs in size from others [..., h, w, channels]."""
    own, others = (" x ".join(map(str, x.shape[-3:-1])) for x in (pixels, images))
    if own != others:
        raise UserError(
            f"{name} is {own}, but others are {others}: set image_size (--config.image_size=32) to "
            "resize all images"
        )
