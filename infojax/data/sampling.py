"""Stateless sampling: the batch of a step is a function of the key and the step."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

_ROUNDS = 6
Words = TypeVar("Words", jax.Array, np.ndarray)  # uint32


def shuffled_epochs(key: jax.Array, positions: jax.Array, n: int) -> jax.Array:
    """Returns the indices at given positions of an endless sequence of shuffled epochs.

    Each epoch of n positions holds every index once, in its own random order. The cost of an index
    does not depend on n: the order of an epoch is a keyed permutation (a Feistel network, kept
    within [0, n) by cycle walking), not a shuffled list. (grain's `index_shuffle` is the same on
    the host, out of reach of a jitted step.)

    Args:
      key: JAX random key of the sequence.
      positions: integer [b], in [0, 2³¹).
      n: number of examples, at least 1.

    Returns:
      Indices int32 [b], in [0, n).

    >>> import jax, jax.numpy as jnp
    >>> epoch = shuffled_epochs(jax.random.key(0), jnp.arange(5), 5)
    >>> sorted(epoch.tolist())
    [0, 1, 2, 3, 4]
    """
    epochs, places = jnp.divmod(positions.astype(jnp.uint32), jnp.uint32(n))
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, epochs)
    round_keys = jax.vmap(lambda key: jax.random.bits(key, (_ROUNDS,)))(keys)
    half = _half(n)

    def outside(x: jax.Array) -> jax.Array:
        return jnp.any(x >= n)

    def walk(x: jax.Array) -> jax.Array:
        return jnp.where(x < n, x, _feistel(x, round_keys, half))

    return jax.lax.while_loop(outside, walk, _feistel(places, round_keys, half)).astype(jnp.int32)


def epochs_on_host(key: jax.Array, n: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns `shuffled_epochs` of a key and n as a function of positions, computed by the host.

    It does not wait for the device: JAX draws the keys of an epoch once.

    >>> import jax, numpy as np
    >>> sorted(epochs_on_host(jax.random.key(0), 5)(np.arange(5)).tolist())
    [0, 1, 2, 3, 4]
    """
    half = _half(n)

    @lru_cache(maxsize=16)
    def round_keys(epoch: int) -> np.ndarray:
        drawn = jax.random.bits(jax.random.fold_in(key, np.uint32(epoch)), (_ROUNDS,))
        return np.asarray(drawn)

    def rows(positions: np.ndarray) -> np.ndarray:
        epochs, places = np.divmod(positions, n)
        keys = np.stack([round_keys(int(epoch)) for epoch in epochs])
        found: np.ndarray = _feistel(places.astype(np.uint32), keys, half)
        while np.any(outside := found >= n):
            found[outside] = _feistel(found[outside], keys[outside], half)
        return found.astype(np.int32)

    return rows


def _half(n: int) -> int:
    """Half the bits of the smallest power of 4 that is at least n."""
    return max(1, -(-(n - 1).bit_length() // 2))


def _feistel(x: Words, round_keys: Words, half: int) -> Words:
    """Applies a permutation of [0, 4^half) to each x, given by its row of keys."""
    mask = np.uint32((1 << half) - 1)
    left: Any = x >> half
    right: Any = x & mask
    for k in range(_ROUNDS):
        left, right = right, left ^ (_mix(right ^ round_keys[:, k]) & mask)
    joined: Words = (left << half) | right
    return joined


def _mix(x: Words) -> Words:
    """MurmurHash3's 32-bit finaliser."""
    mixed: Any = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    mixed = (mixed ^ (mixed >> 13)) * np.uint32(0xC2B2AE35)
    result: Words = mixed ^ (mixed >> 16)
    return result
