"""Stateless sampling: the batch of a step is a function of the key and the step alone."""

import jax
import jax.numpy as jnp

_ROUNDS = 6


def shuffled_epochs(key: jax.Array, positions: jax.Array, n: int) -> jax.Array:
    """Indices at some positions of an endless sequence of shuffled epochs.

    Each run of n positions holds every index once, in an order of its own. An index takes a few
    operations whatever n is: the order of an epoch is a keyed permutation (a Feistel network, kept
    within [0, n) by walking its cycles), not a shuffled list. (grain's `index_shuffle` does the
    same on the host, where a step under jit cannot call it.)

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

    def outside(x):
        return jnp.any(x >= n)

    def walk(x):
        return jnp.where(x < n, x, _feistel(x, round_keys, half))

    return jax.lax.while_loop(outside, walk, _feistel(places, round_keys, half)).astype(jnp.int32)


def _feistel(x: jax.Array, round_keys: jax.Array, half: int) -> jax.Array:
    """A permutation of [0, 4^half) for each row of keys."""
    mask = jnp.uint32((1 << half) - 1)
    left, right = x >> half, x & mask
    for k in range(_ROUNDS):
        left, right = right, left ^ (_mix(right ^ round_keys[:, k]) & mask)
    return (left << half) | right


def _mix(x: jax.Array) -> jax.Array:
    """MurmurHash3's 32-bit finaliser."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
