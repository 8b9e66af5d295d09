"""Stateless sampling: the batch of a step is a function of the key and the step."""

import jax
import jax.numpy as jnp

_ROUNDS = 6


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
    half = max(1, -(-(n - 1).bit_length() // 2))

    def outside(x: jax.Array) -> jax.Array:
        return jnp.any(x >= n)

    def walk(x: jax.Array) -> jax.Array:
        return jnp.where(x < n, x, _feistel(x, round_keys, half))

    return jax.lax.while_loop(outside, walk, _feistel(places, round_keys, half)).astype(jnp.int32)


def _feistel(x: jax.Array, round_keys: jax.Array, half: int) -> jax.Array:
    """Applies a permutation of [0, 4^half) to each x, given by its row of keys."""
    mask = jnp.uint32((1 << half) - 1)
    left, right = x >> half, x & mask
    for k in range(_ROUNDS):
        left, right = right, left ^ (_mix(right ^ round_keys[:, k]) & mask)
    joined: jax.Array = (left << half) | right
    return joined


def _mix(x: jax.Array) -> jax.Array:
    """MurmurHash3's 32-bit finaliser."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
