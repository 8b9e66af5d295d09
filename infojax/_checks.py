"""Trace-time checks of arguments; each failure raises a ValueError that names the argument."""

import math
import numbers

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def real_array(name: str, x: ArrayLike, ndim: int | None = None) -> jax.Array:
    """Returns `x` as a float32 or float64 array; half precision is widened to float32."""
    x = jnp.asarray(x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"{name} must hold real floating-point numbers, got {x.dtype} of shape {x.shape}"
        )
    if ndim is not None and x.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimensions, got shape {x.shape}")
    if 0 in x.shape:
        raise ValueError(f"{name} must not be empty, got shape {x.shape}")
    return x.astype(jnp.float32) if x.dtype.itemsize < 4 else x


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
    given, y = y, jnp.asarray(y)
    if y.shape != shape or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(
            f"{name} must be integer class labels of shape {shape}, one per sample, "
            f"got {y.dtype} of shape {y.shape}"
        )
    if isinstance(given, np.ndarray) and np.any(given != given.astype(y.dtype)):
        raise ValueError(f"{name} holds labels that do not fit {y.dtype}, up to {given.max()}")
    return y.astype(jnp.int32) if y.dtype.itemsize < 4 else y


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
