"""Arrays on explicit meshes: `jax.make_mesh` makes one by default (jax 0.10 and later)."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.sharding import AxisType, PartitionSpec

P = ParamSpec("P")
R = TypeVar("R")


def replicated(function: Callable[P, R]) -> Callable[P, R]:
    """Lets a function take arrays that are sharded over an explicit mesh.

    The compiler partitions the body, as it does under an automatic mesh: sums over samples are
    computed where the samples are. Results are replicated over the mesh. Without an explicit mesh
    the function is called unchanged.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves, tree = jax.tree.flatten((args, kwargs))
        sharded = next(filter(_on_explicit_mesh, leaves), None)
        if sharded is None:
            return function(*args, **kwargs)
        is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]

        def of_arrays(*arrays: Any) -> R:
            given = iter(arrays)
            filled = [next(given) if b else x for x, b in zip(leaves, is_array, strict=True)]
            args, kwargs = jax.tree.unflatten(tree, filled)
            return function(*args, **kwargs)

        arrays = [x for x, b in zip(leaves, is_array, strict=True) if b]
        with entered_mesh(sharded):
            result: R = jax.sharding.auto_axes(of_arrays, out_sharding=PartitionSpec())(*arrays)
            return result

    return wrapper


def _on_explicit_mesh(leaf: Any) -> bool:
    if not isinstance(leaf, jax.Array):
        return False
    mesh = jax.typeof(leaf).sharding.mesh
    return not mesh.empty and AxisType.Explicit in mesh.axis_types


def entered_mesh(x: jax.Array) -> AbstractContextManager[Any]:
    """A context with the mesh of x, including its devices where x is an array, not a tracer."""
    mesh = jax.typeof(x).sharding.mesh
    if jax.sharding.get_abstract_mesh() == mesh:
        return nullcontext()
    if isinstance(x, jax.core.Tracer):
        return jax.sharding.use_abstract_mesh(mesh)
    concrete: Any = x.sharding  # a NamedSharding, whose mesh has devices
    return jax.set_mesh(concrete.mesh)
