"""RandAugment and cutout in Pillow, image by image, as TorchSSL and USB apply them."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageOps

from infojax.data import operations
from infojax.data.operations import Operation


def _affine(image: Image.Image, *matrix: float) -> Image.Image:
    return image.transform(image.size, Image.Transform.AFFINE, matrix)


OPERATIONS: dict[Operation, Callable[[Image.Image, float], Image.Image]] = {
    Operation.ROTATE: lambda x, v: x.rotate(v),
    Operation.SHEAR_X: lambda x, v: _affine(x, 1, v, 0, 0, 1, 0),
    Operation.SHEAR_Y: lambda x, v: _affine(x, 1, 0, 0, v, 1, 0),
    Operation.TRANSLATE_X: lambda x, v: _affine(x, 1, 0, v * x.size[0], 0, 1, 0),
    Operation.TRANSLATE_Y: lambda x, v: _affine(x, 1, 0, 0, 0, 1, v * x.size[1]),
    Operation.AUTO_CONTRAST: lambda x, v: ImageOps.autocontrast(x),
    Operation.EQUALIZE: lambda x, v: ImageOps.equalize(x),
    Operation.BRIGHTNESS: lambda x, v: ImageEnhance.Brightness(x).enhance(v),
    Operation.COLOR: lambda x, v: ImageEnhance.Color(x).enhance(v),
    Operation.CONTRAST: lambda x, v: ImageEnhance.Contrast(x).enhance(v),
    Operation.SHARPNESS: lambda x, v: ImageEnhance.Sharpness(x).enhance(v),
    Operation.POSTERIZE: lambda x, v: ImageOps.posterize(x, int(v)),
    Operation.SOLARIZE: lambda x, v: ImageOps.solarize(x, v),  # type: ignore[arg-type] # floats work
    Operation.IDENTITY: lambda x, v: x,
}


def operate(image: Image.Image, operation: int, level: int) -> Image.Image:
    """Applies one operation at a level of `infojax.data.operations`."""
    magnitude = float(operations.magnitude(operation, level))
    return OPERATIONS[Operation(operation)](image, magnitude)


def cut_out(image: Image.Image, levels: np.ndarray) -> Image.Image:
    """Greys a square, clipped to the image; levels give its side and centre."""
    width, height = image.size
    side, x, y = (levels + 0.5) / operations.LEVELS * [width / 2, width, height]
    x0, y0 = int(max(0, x - side / 2)), int(max(0, y - side / 2))
    corners = (x0, y0, min(width, x0 + side), min(height, y0 + side))
    image = image.copy()
    ImageDraw.Draw(image).rectangle(corners, (125, 123, 114) if image.mode == "RGB" else 123)
    return image


def augment(
    image: np.ndarray, chosen: np.ndarray, levels: np.ndarray, cutout: np.ndarray
) -> np.ndarray:
    """Augments an image, uint8 [h, w, 3], with its draw from `infojax.data.randaugment.draw`."""
    result = Image.fromarray(image)
    for operation, level in zip(chosen, levels, strict=True):
        result = operate(result, operation, level)
    return np.asarray(cut_out(result, cutout))


def augment_at_random(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Applies three random operations and a cutout to an image."""
    levels = rng.integers(0, operations.LEVELS, 6)
    return augment(image, rng.integers(0, len(Operation), 3), levels[:3], levels[3:])
