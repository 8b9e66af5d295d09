"""Outputs of the layers within a network, whichever function calls it.

Flax linen modules only: their calls are intercepted while the function is traced.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

Layers = dict[str, jax.Array]


def names(function: Callable[..., Any], *args: Any) -> list[str]:
    """Returns the names of the layers that a function calls, in order, without computing anything.

    A layer is a module in a linen module whose output has a row per sample; those within others
    have names such as "block0/conv1". The logits' layer, whose output the function returns, does
    not count.

    Args:
      function: returns a tuple of arrays with a row per sample, such as features and logits.
      *args: of the function.
    """
    found: list[str] = []

    def traced(*args: Any) -> Any:
        result, layers = _called(function, args)
        returned = {id(x) for x in result}
        found.extend(name for name, x in layers.items() if _is_layer(x, result, returned))
        return result

    jax.eval_shape(traced, *args)
    return found


def outputs(function: Callable[..., Any], chosen: tuple[str, ...]) -> Callable[..., Layers]:
    """Returns a function of the same arguments that computes the outputs of layers.

    Args:
      function: as in `names`.
      chosen: some of its `names`.

    Returns:
      A function that returns outputs [n, d] by name, averaged over all axes between the first and
      the last (pixels or tokens), at least in float32; `features` is the function's first result.
    """

    def traced(*args: Any) -> Layers:
        result, layers = _called(function, args)
        return {name: _pooled(layers[name]) for name in chosen} | {"features": result[0]}

    return traced


def _called(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, dict[str, Any]]:
    """The result of a function, and the outputs of the modules that it calls, in order."""
    found: dict[str, Any] = {}

    def note(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
        output = call(*args, **kwargs)
        if context.method_name == "__call__" and context.module.path:
            found["/".join(context.module.path)] = output
        return output

    with nn.intercept_methods(note):
        return function(*args), found


def _is_layer(x: Any, result: Any, returned: set[int]) -> bool:
    fits = isinstance(x, jax.Array) and x.ndim > 1 and len(x) == len(result[0])
    return fits and jnp.issubdtype(x.dtype, jnp.floating) and id(x) not in returned


def _pooled(x: jax.Array) -> jax.Array:
    x = x.astype(jnp.promote_types(x.dtype, jnp.float32))
    return jnp.mean(x, tuple(range(1, x.ndim - 1)))
