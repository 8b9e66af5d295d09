"""Trees of arrays: the names of their leaves, and whether two trees go together."""

from typing import Any

import jax
import jax.numpy as jnp


def leaf_name(path: tuple[Any, ...]) -> str:
    """Returns the path to a leaf as a string like "Conv_0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Returns names and leaves in the order in which they are flattened."""
    return [(leaf_name(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def check_same(name1: str, tree1: Any, name2: str, tree2: Any, dtypes: bool = False) -> None:
    """Raises unless both trees have the same leaves, of the same shapes and (if asked) dtypes."""
    leaves1, leaves2 = named_leaves(tree1), named_leaves(tree2)
    both = f"{name1} and {name2} must have the same leaves"
    for here, leaves, others in ((name1, leaves1, leaves2), (name2, leaves2, leaves1)):
        known = {name for name, _ in others}
        alone = [name for name, _ in leaves if name not in known]
        if alone:
            raise ValueError(f"{both}, but {alone[0] or 'a bare array'} is in {here} only")
    structures: list[Any] = [jax.tree.structure(tree1), jax.tree.structure(tree2)]
    if structures[0] != structures[1]:
        raise ValueError(f"{both} in the same containers, got {structures[0]} and {structures[1]}")
    for (name, leaf), (_, other) in zip(leaves1, leaves2, strict=True):
        kinds = _kind(leaf, dtypes), _kind(other, dtypes)
        if kinds[0] != kinds[1]:
            where = name or "the array"
            raise ValueError(
                f"{both}, but {where} is {kinds[0]} in {name1} and {kinds[1]} in {name2}"
            )


def _kind(leaf: Any, dtypes: bool) -> str:
    return f"{jnp.result_type(leaf)}{jnp.shape(leaf)}" if dtypes else f"{jnp.shape(leaf)}"
