"""Checks of arguments: a ValueError that names the argument, or NaN for faults seen at run time."""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def array(name: str, x: ArrayLike) -> jax.Array:
    """Returns `x` as a JAX array; NumPy arrays of foreign byte order are converted."""
    if isinstance(x, np.ma.MaskedArray):
        raise ValueError(
            f"{name} must not be a NumPy masked array, got one of shape {x.shape}; pass its data "
            "and, where the function takes a mask, a bool array of the samples that count"
        )
    if isinstance(x, np.ndarray) and not x.dtype.isnative:
        x = x.astype(x.dtype.newbyteorder("="))
    try:
        return jnp.asarray(x)
    except (TypeError, ValueError) as error:
        kind = f"dtype {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise ValueError(f"{name} must be an array of numbers, got {kind}") from error


def real_array(name: str, x: ArrayLike, ndim: int | None = None) -> jax.Array:
    """Returns `x` as a float32 or float64 array; half precision is widened to float32."""
    x = array(name, x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{name} must hold real floating-point numbers, got {x.dtype} of shape {x.shape}"
        )
    if ndim is not None and x.ndim != ndim:
        hint = f"; to flatten samples: {name}.reshape(-1, {name}.shape[-1])"
        raise ValueError(
            f"{name} must have {ndim} dimensions, got shape {x.shape}"
            f"{hint if x.ndim > ndim == 2 else ''}"
        )
    if 0 in x.shape:
        raise ValueError(f"{name} must not be empty, got shape {x.shape}")
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


def features(name: str, x: ArrayLike, *leading: tuple[int, ...]) -> jax.Array:
    """Returns `x` as a real matrix of samples.

    Args:
      name: of the argument.
      x: features [n, d] or [..., d].
      *leading: leading axes of arrays that belong to the same samples. Where they are the leading
        axes of x, it is flattened; otherwise x must be a matrix, because a batch of matrices
        cannot be told from samples along several axes.
    """
    x = real_array(name, x)
    if x.ndim > 2 and leading and all(shape == x.shape[:-1] for shape in leading):
        return x.reshape(-1, x.shape[-1])
    return real_array(name, x, ndim=2)


def square(name: str, k: ArrayLike) -> jax.Array:
    """Returns `k` as a real array of shape [..., n, n]."""
    k = real_array(name, k)
    if k.ndim < 2 or k.shape[-1] != k.shape[-2]:
        raise ValueError(f"{name} must be square matrices [..., n, n], got shape {k.shape}")
    return k


def labels(name: str, y: ArrayLike, *shape: int) -> jax.Array:
    """Returns `y` as an integer array of the given shape.

    Labels are widened to 32 bits because the number of classes must fit too: 256 exceeds uint8.
    """
    given, y = y, array(name, y)
    if y.shape != shape or not jnp.issubdtype(y.dtype, jnp.integer):
        hint = f"; to flatten samples: {name}.reshape(-1)" if (y.size,) == shape else ""
        raise ValueError(
            f"{name} must be integer class labels of shape {shape}, one per sample, "
            f"got {y.dtype} of shape {y.shape}{hint if y.ndim > 1 else ''}"
        )
    if isinstance(given, np.ndarray) and np.any(given != given.astype(y.dtype)):
        raise ValueError(f"{name} holds labels that do not fit {y.dtype}, up to {given.max()}")
    return y.astype(jnp.int32) if y.dtype.itemsize < 4 else y


def mask(x: ArrayLike | None, shape: tuple[int, ...]) -> jax.Array | None:
    """Returns the mask of samples of the given shape, flattened, if one is given."""
    if x is None:
        return None
    x = array("mask", x)
    if x.dtype != bool or x.shape != shape:
        raise ValueError(
            f"mask must be bool of shape {shape}, one per sample, got {x.dtype} of shape {x.shape}"
        )
    return x.reshape(-1)


def same_rows(name1: str, x1: jax.Array, name2: str, x2: jax.Array) -> None:
    """Raises unless both arrays have the same number of rows."""
    if x1.shape[0] != x2.shape[0]:
        raise ValueError(
            f"{name1} and {name2} must have the same number of rows, "
            f"got shapes {x1.shape} and {x2.shape}"
        )


def same_columns(name1: str, x1: jax.Array, name2: str, x2: jax.Array) -> None:
    """Raises unless both arrays have the same number of columns."""
    if x1.shape[-1] != x2.shape[-1]:
        raise ValueError(
            f"{name1} and {name2} must have the same number of columns, "
            f"got shapes {x1.shape} and {x2.shape}"
        )


def number(name: str, x: float) -> float:
    """Returns a static argument as a Python float."""
    if isinstance(x, bool) or not isinstance(x, numbers.Real):
        raise ValueError(
            f"{name} must be a Python number (it is static under jit), got {type(x).__name__}"
        )
    return float(x)


def integer(name: str, x: int) -> int:
    """Returns a static argument as a Python int."""
    if isinstance(x, bool) or not isinstance(x, numbers.Integral):
        raise ValueError(f"{name} must be a Python integer (it is static under jit), got {x!r}")
    return int(x)


def order(alpha: float) -> float:
    """Returns the order of an entropy as a Python float; it is static and must be positive."""
    alpha = number("alpha", alpha)
    if math.isnan(alpha) or alpha <= 0:
        raise ValueError(f"alpha must be positive (math.inf is allowed), got {alpha}")
    return alpha


def same_dtype(name1: str, x1: jax.Array, name2: str, x2: jax.Array) -> None:
    """Raises unless both arrays have the same dtype, once half precision is widened."""
    if x1.dtype != x2.dtype:
        raise ValueError(
            f"{name1} and {name2} must have the same dtype, got {x1.dtype} and {x2.dtype}"
        )


def nan_unless(valid: jax.Array, x: jax.Array) -> jax.Array:
    """Returns x where valid, and NaN elsewhere.

    The NaN is computed where needed: `jax_debug_nans` would report a literal one on valid input.
    """
    valid = jnp.broadcast_to(valid, x.shape)
    return jnp.where(valid, x, jnp.sqrt(jnp.where(valid, 1, -1).astype(x.dtype)))
