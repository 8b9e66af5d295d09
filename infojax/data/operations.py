"""The 14 operations of RandAugment on 8-bit images, in Pillow's arithmetic to the last bit.

An operation is a function of one image uint8 [h, w, channels], with one or three channels, and a
level, int32 in [0, LEVELS), whose magnitudes are uniform over the operation's range. On these grids
all arithmetic is integer: blends with weights in multiples of 2^-16, geometry in Pillow's own 16.16
fixed point.
"""

import enum
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

LEVELS = 4096  # neighbours are at most 0.02 pixels apart in images of 96 pixels


class Operation(enum.IntEnum):
    """The operations; the last leaves the image unchanged."""

    ROTATE = 0
    SHEAR_X = 1
    SHEAR_Y = 2
    TRANSLATE_X = 3
    TRANSLATE_Y = 4
    AUTO_CONTRAST = 5
    EQUALIZE = 6
    BRIGHTNESS = 7
    COLOR = 8
    CONTRAST = 9
    SHARPNESS = 10
    POSTERIZE = 11
    SOLARIZE = 12
    IDENTITY = 13


_GEOMETRIC = range(Operation.ROTATE, Operation.TRANSLATE_Y + 1)
_BLENDS = range(Operation.BRIGHTNESS, Operation.SHARPNESS + 1)
_RANGES = {
    Operation.ROTATE: (-30.0, 30.0),  # degrees
    Operation.SHEAR_X: (-0.3, 0.3),
    Operation.SHEAR_Y: (-0.3, 0.3),
    Operation.TRANSLATE_X: (-0.3, 0.3),  # of the width
    Operation.TRANSLATE_Y: (-0.3, 0.3),  # of the height
    **dict.fromkeys(map(Operation, _BLENDS), (0.05, 0.95)),
    Operation.POSTERIZE: (4.0, 8.0),  # bits kept, rounded down
    Operation.SOLARIZE: (0.0, 256.0),
}
_BLEND_UNIT = 1 << 16


def magnitude(operation: int, level: np.ndarray | int) -> np.ndarray:
    """Returns the magnitude of a level in Pillow's units, float64 of the shape of `level`.

    >>> magnitude(Operation.ROTATE, LEVELS // 2 - 1).item()  # degrees
    -0.00732421875
    """
    low, high = _RANGES.get(Operation(operation), (0.0, 0.0))
    value = low + (high - low) * ((np.asarray(level) + 0.5) / LEVELS)
    if operation in _BLENDS:
        return np.round(value * _BLEND_UNIT) / _BLEND_UNIT
    return value


def branches(height: int, width: int) -> tuple[list[Callable[..., jax.Array]], np.ndarray]:
    """Returns the operations on images of one size; the geometric ones share one function.

    Returns:
      `(functions, kinds)`: each function maps (image uint8 [h, w, channels], operation, level) to
      the new image; `kinds[operation]` is its index, `len(functions)` for the identity.
    """
    weights = magnitude(Operation.BRIGHTNESS, np.arange(LEVELS)) * _BLEND_UNIT
    weights = weights.astype(np.int32)
    tables = np.stack([_affine(o, height, width) for o in _GEOMETRIC])

    def geometric(image: jax.Array, operation: jax.Array, level: jax.Array) -> jax.Array:
        return _resample(image, jnp.asarray(tables)[operation, level])

    def blended(degenerate: Callable[[jax.Array], jax.Array]) -> Callable[..., jax.Array]:
        def blend(image: jax.Array, _: jax.Array, level: jax.Array) -> jax.Array:
            return _blend(degenerate(image), image, jnp.asarray(weights)[level])

        return blend

    functions = [
        geometric,
        lambda image, *_: _auto_contrast(image),
        lambda image, *_: _equalize(image),
        blended(jnp.zeros_like),
        blended(lambda image: _grey(image)[..., None]),
        blended(_mean_grey),
        blended(_smooth),
        lambda image, _, level: _posterize(image, level),
        lambda image, _, level: _solarize(image, level),
    ]
    kinds = np.array([0] * len(_GEOMETRIC) + list(range(1, len(functions) + 1)), np.int32)
    return functions, kinds


def _affine(operation: int, height: int, width: int) -> np.ndarray:
    """Returns fixed-point maps from target to source pixels [LEVELS, 6], rounded as by Pillow.

    Row `(a, b, c, d, e, f)`: target (x, y) takes source `((a x + b y + c, d x + e y + f) >> 16)`.
    """
    v = magnitude(operation, np.arange(LEVELS))
    one, zero = np.ones(LEVELS), np.zeros(LEVELS)
    if operation == Operation.ROTATE:
        cos = np.array([round(math.cos(-math.radians(angle % 360)), 15) for angle in v])
        sin = np.array([round(math.sin(-math.radians(angle % 360)), 15) for angle in v])
        x, y = width / 2, height / 2
        matrix = [cos, sin, (cos * -x + sin * -y) + x, -sin, cos, (-sin * -x + cos * -y) + y]
    else:
        matrix = {
            Operation.SHEAR_X: [one, v, zero, zero, one, zero],
            Operation.SHEAR_Y: [one, zero, zero, v, one, zero],
            Operation.TRANSLATE_X: [one, zero, v * width, zero, one, zero],
            Operation.TRANSLATE_Y: [one, zero, zero, zero, one, v * height],
        }[Operation(operation)]
    a, b, c, d, e, f = matrix
    centred = np.stack([a, b, c + a * 0.5 + b * 0.5, d, e, f + d * 0.5 + e * 0.5], 1)
    return np.floor(centred * 65536 + 0.5).astype(np.int32)


def _resample(image: jax.Array, matrix: jax.Array) -> jax.Array:
    """Resamples by nearest neighbour under a fixed-point map; black outside the image."""
    height, width, channels = image.shape
    x = jnp.arange(width, dtype=jnp.int32)[None, :]
    y = jnp.arange(height, dtype=jnp.int32)[:, None]
    from_x = (matrix[2] + matrix[0] * x + matrix[1] * y) >> 16
    from_y = (matrix[5] + matrix[3] * x + matrix[4] * y) >> 16
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    index = jnp.where(inside, from_y * width + from_x, 0)
    pixels = image.reshape(-1, channels)[index]
    return jnp.where(inside[..., None], pixels, 0).astype(jnp.uint8)


def _blend(degenerate: jax.Array, image: jax.Array, weight: jax.Array) -> jax.Array:
    """Adds the weighted difference to the degenerate image, rounding down; weight in 2^-16."""
    degenerate = degenerate.astype(jnp.int32)
    mixed = degenerate * _BLEND_UNIT + weight * (image.astype(jnp.int32) - degenerate)
    return (mixed // _BLEND_UNIT).astype(jnp.uint8)


def _grey(image: jax.Array) -> jax.Array:
    """Luma of ITU-R 601, int32 [h, w]; for a single channel that channel."""
    if image.shape[-1] == 1:
        return image[..., 0].astype(jnp.int32)
    red, green, blue = jnp.moveaxis(image.astype(jnp.int32), -1, 0)
    luma: jax.Array = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma


def _mean_grey(image: jax.Array) -> jax.Array:
    grey = _grey(image)
    return ((2 * jnp.sum(grey) + grey.size) // (2 * grey.size)).reshape(1, 1, 1)


def _smooth(image: jax.Array) -> jax.Array:
    """Mean of 3×3 pixels with weight 5 for the centre, rounded; border pixels keep their value."""
    x = image.astype(jnp.int32)
    rows = x[:-2] + x[1:-1] + x[2:]
    total = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * x[1:-1, 1:-1]
    return x.at[1:-1, 1:-1].set((2 * total + 13) // 26)


def _posterize(image: jax.Array, level: jax.Array) -> jax.Array:
    dropped = 4 - level // (LEVELS // 4)
    return image & (255 << dropped).astype(jnp.uint8)


def _solarize(image: jax.Array, level: jax.Array) -> jax.Array:
    below = image.astype(jnp.int32) * (LEVELS // 256) <= level
    return jnp.where(below, image, 255 - image)


def _equalize(image: jax.Array) -> jax.Array:
    """Flattens each channel's histogram, unless it has a single value or too few pixels."""
    height, width, channels = image.shape
    values = jnp.arange(256, dtype=jnp.int32)[None]
    counts = jnp.zeros(channels * 256, jnp.int32).at[_cells(image)].add(1).reshape(channels, 256)
    of_largest = jnp.take_along_axis(counts, _over_pixels(jnp.max, image)[:, None], 1)
    step = (height * width - of_largest) // 255
    table = (step // 2 + jnp.cumsum(counts, 1) - counts) // jnp.maximum(step, 1)
    return _look_up(image, jnp.where(step == 0, values, jnp.minimum(table, 255)))


def _auto_contrast(image: jax.Array) -> jax.Array:
    """Stretches each channel to [0, 255], rounding down."""
    low = _over_pixels(jnp.min, image)[:, None]
    span = _over_pixels(jnp.max, image)[:, None] - low
    values = jnp.arange(256, dtype=jnp.int32)[None]
    inside = (values >= low) & (values <= low + span)
    scaled = jnp.where(inside, 255 * (values - low), 0)
    quotient, remainder = jnp.divmod(scaled, jnp.maximum(span, 1))
    errors = jnp.asarray(_rounding_errors())
    # Where the quotient is an integer, Pillow's doubles may round to just below it.
    excess = errors[span, values] - errors[span, low]
    short = (remainder == 0) & (4 * excess < -_power_of_two_above(quotient))
    return _look_up(image, jnp.where(span == 0, values, jnp.where(short, quotient - 1, quotient)))


@functools.cache
def _rounding_errors() -> np.ndarray:
    """Error of the double `k * (255 / d)` in units of 2^-52, int32 [256 d, 256 k]; row 0 is 0."""
    errors = np.zeros((256, 256), np.int32)
    for d in range(1, 256):
        for k in range(256):
            numerator, denominator = (k * (255 / d)).as_integer_ratio()
            errors[d, k] = (numerator << 52) // denominator - ((k * 255) << 52) // d
    return errors


def _power_of_two_above(x: jax.Array) -> jax.Array:
    """Smallest power of two that is at least x, for int32 x in [2, 256]; 0 for smaller x."""
    return jnp.where(x < 2, 0, jnp.left_shift(1, 32 - jax.lax.clz(x - 1)))


def _over_pixels(reduce: Callable[..., jax.Array], image: jax.Array) -> jax.Array:
    """Largest or smallest value of each channel, int32 [channels].

    Reduces rows, which vectorises, then columns; XLA's fused loop would be ten times slower.
    """
    return reduce(jax.lax.optimization_barrier(reduce(image, 0)), 0).astype(jnp.int32)


def _look_up(image: jax.Array, table: jax.Array) -> jax.Array:
    """Maps each channel through its row of a table [channels, 256]."""
    return table.astype(jnp.uint8).ravel()[_cells(image)]


def _cells(image: jax.Array) -> jax.Array:
    """Index of each pixel's value in a raveled table [channels, 256]."""
    rows = jnp.arange(image.shape[-1], dtype=jnp.int32)[None, None]
    return 256 * rows + image.astype(jnp.int32)
