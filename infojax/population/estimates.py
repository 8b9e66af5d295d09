"""Estimates of the joint entropy: their settings, limits and derivative."""

import functools
from collections.abc import Callable
from typing import NoReturn, TypeVar

import jax
import jax.numpy as jnp

from infojax import _checks, moments, spectrum
from infojax.population import joint
from infojax.population.quadrature import Estimate, Operator

DENSE = 5000  # rows up to which dense eigenvalues take seconds
LAPACK = 32_766  # rows up to which LAPACK's 32-bit workspace suffices

Arrays = TypeVar("Arrays", bound=tuple[jax.Array, ...])


def settings(alpha: float, rtol: float, max_probes: int) -> tuple[float, float, int]:
    """Checks the static arguments of an estimate."""
    alpha, rtol = _checks.order(alpha), _checks.number("rtol", rtol)
    max_probes = _checks.integer("max_probes", max_probes)
    if not rtol >= 0 or max_probes < 1:
        raise ValueError(f"rtol >= 0 and max_probes >= 1 are required, got {rtol} and {max_probes}")
    return alpha, rtol, max_probes


@functools.partial(jax.jit, static_argnames=("operator", "alpha", "max_probes"))
def entropy(
    operator: Callable[..., Operator],
    inputs: tuple[jax.Array, jax.Array, jax.Array],
    entropies: jax.Array,
    key: jax.Array,
    rtol: jax.Array,
    alpha: float,
    max_probes: int,
) -> Estimate:
    """Estimates the entropy of the operator of the inputs, see `joint.estimated_entropy`."""
    matrix = operator(*inputs)
    rtol = rtol.astype(matrix.dtype)
    return joint.estimated_entropy(matrix, alpha, rtol, entropies, key, max_probes)


@jax.custom_jvp
def without_derivative(inputs: Arrays) -> Arrays:
    """Returns the inputs; differentiating with respect to them is an error."""
    return inputs


@without_derivative.defjvp
def _refuse(primals: tuple[Arrays], tangents: tuple[Arrays]) -> NoReturn:
    raise ValueError(
        "an estimate has no derivative; set rtol=0 for dense eigenvalues, which have one, or wrap "
        "the arguments in jax.lax.stop_gradient to use the estimate as a metric"
    )


def head_entropy(counts: jax.Array, w_hat: jax.Array, alpha: float) -> jax.Array:
    """Entropy of the head rows w_hat [C, d], each counted as often as its class occurs."""
    weighted = jnp.sqrt(counts.astype(w_hat.dtype))[:, None] * w_hat
    return spectrum.entropy(moments.smaller_product(weighted), alpha)
