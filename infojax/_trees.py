"""Trees of arrays: names of leaves, and checks that two trees match."""

from typing import Any

import jax
import jax.numpy as jnp


def leaf_name(path: tuple[Any, ...]) -> str:
    """Returns the path of a leaf as a string such as "Conv_0/kernel"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def named_leaves(tree: Any) -> list[tuple[str, Any]]:
    """Returns the names and leaves in flattening order."""
    return [(leaf_name(path), leaf) for path, leaf in jax.tree_util.tree_leaves_with_path(tree)]


def check_same(name1: str, tree1: Any, name2: str, tree2: Any, dtypes: bool = False) -> None:
    """Raises unless the trees have the same leaves with equal shapes and, if `dtypes`, dtypes."""
    leaves1, leaves2 = named_leaves(tree1), named_leaves(tree2)
    both = f"{name1} and {name2} must have the same leaves"
    for here, leaves, others in ((name1, leaves1, leaves2), (name2, leaves2, leaves1)):
        known = {name for name, _ in others}
        alone = [name for name, _ in leaves if name not in known]
        if alone:
            raise ValueError(f"{both}, but {alone[0] or 'a bare array'} is in {here} only")
    structure1: Any = jax.tree.structure(tree1)
    structure2: Any = jax.tree.structure(tree2)
    if structure1 != structure2:
        raise ValueError(f"{both} in the same containers, got {structure1} and {structure2}")
    for (name, leaf), (_, other) in zip(leaves1, leaves2, strict=True):
        kind1, kind2 = _kind(leaf, dtypes), _kind(other, dtypes)
        if kind1 != kind2:
            where = name or "the array"
            raise ValueError(f"{both}, but {where} is {kind1} in {name1} and {kind2} in {name2}")


def _kind(leaf: Any, dtypes: bool) -> str:
    return f"{jnp.result_type(leaf)}{jnp.shape(leaf)}" if dtypes else f"{jnp.shape(leaf)}"
