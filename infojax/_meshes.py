"""Arrays on explicit meshes: `jax.make_mesh` makes one by default (jax 0.10 and later)."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import jax
import numpy as np
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

P = ParamSpec("P")
R = TypeVar("R")


def replicated(function: Callable[P, R]) -> Callable[P, R]:
    """Lets a function take arrays that are sharded over an explicit mesh.

    The compiler partitions the body, as it does under an automatic mesh: sums over samples are
    computed where the samples are. Results are replicated over the mesh. Without an explicit mesh
    the function is called as it is.
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves, tree = jax.tree.flatten((args, kwargs))
        mesh = _explicit_mesh(leaves)
        if mesh is None:
            return function(*args, **kwargs)
        is_array = [isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves]

        def of_arrays(*arrays: Any) -> R:
            given = iter(arrays)
            filled = [next(given) if b else x for x, b in zip(leaves, is_array, strict=True)]
            args, kwargs = jax.tree.unflatten(tree, filled)
            return function(*args, **kwargs)

        arrays = [x for x, b in zip(leaves, is_array, strict=True) if b]
        with jax.sharding.use_abstract_mesh(mesh):
            return jax.sharding.auto_axes(of_arrays, out_sharding=PartitionSpec())(*arrays)

    return wrapper


def _explicit_mesh(leaves: list[Any]) -> AbstractMesh | None:
    """The explicit mesh of the first array that is on one."""
    for leaf in leaves:
        if isinstance(leaf, jax.Array):
            mesh = jax.typeof(leaf).sharding.mesh
            if not mesh.empty and AxisType.Explicit in mesh.axis_types:
                return mesh
    return None
