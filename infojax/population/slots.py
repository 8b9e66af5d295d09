"""Slots for the classes that occur: which class each slot holds, with static shapes.

A slot that holds no class carries C, the number of classes.
"""

import jax
import jax.numpy as jnp


def slot_of(classes: jax.Array, labels: jax.Array, c: int) -> jax.Array:
    """Slots of labels [n], given each slot's class [m]; m for C and for classes without a slot."""
    m = classes.shape[0]
    order = jnp.argsort(classes)
    ascending = classes[order]
    position = jnp.minimum(jnp.searchsorted(ascending, labels), m - 1)
    found = (ascending[position] == labels) & (labels < c)
    return jnp.where(found, order[position], m).astype(jnp.int32)


def insert(classes: jax.Array, labels: jax.Array, c: int) -> tuple[jax.Array, jax.Array]:
    """Gives labels [n] slots after those in use; labels of C are ignored.

    Returns:
      The class of each slot [m], and whether the slots suffice, bool [].
    """
    m = classes.shape[0]
    absent = jnp.where(slot_of(classes, labels, c) < m, c, labels)
    new = jnp.unique(absent, size=m + 1, fill_value=c)
    used = jnp.sum(classes < c)
    slots = used + jnp.arange(m + 1, dtype=used.dtype)
    return classes.at[slots].set(new, mode="drop"), used + jnp.sum(new < c) <= m
