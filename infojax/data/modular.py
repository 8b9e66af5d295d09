"""Modular arithmetic and composition in S5: all pairs of operands with results, split at random."""

import itertools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from infojax.errors import UserError

_OPERATIONS: dict[str, Callable[[np.ndarray, np.ndarray, int], np.ndarray]] = {
    "a+b": lambda a, b, p: a + b,
    "a-b": lambda a, b, p: a - b,
    "a*b": lambda a, b, p: a * b,
    "a/b": lambda a, b, p: a * _inverses(p)[b],
    "a^2+b^2": lambda a, b, p: a**2 + b**2,
    "a^2+ab+b^2": lambda a, b, p: a**2 + a * b + b**2,
    "a^3+ab": lambda a, b, p: a**3 + a * b,
}
_RANDOM = "random"
_COMPOSITION = "s5"
_PERMUTATIONS = np.array(list(itertools.permutations(range(5))))  # [120, 5], in this order
_MODULI = 5, 4093  # all pairs are kept in memory and used in every step


class Examples(NamedTuple):
    """Pairs of operands [n, 2] and their results [n], int32, all in [0, modulus)."""

    operands: np.ndarray
    results: np.ndarray


def split_examples(
    modulus: int, operation: str, train_fraction: float, seed: int
) -> tuple[Examples, Examples]:
    """Splits all pairs (a, b) mod p with their results at random into training and test.

    Args:
      modulus: prime p, from 5 to 4093; for `s5`, 120, the number of permutations.
      operation: one of `a+b`, `a-b`, `a*b`, `a/b` (b ≠ 0), `a^2+b^2`, `a^2+ab+b^2`, `a^3+ab`; or
        `random`: labels drawn at random, which can be memorised but not generalised (a control);
        or `s5`: composition of permutations of five elements, "b, then a", both numbered in
        lexicographic order.
      train_fraction: share of the pairs in training, in (0, 1).
      seed: seed of the split and of random labels.

    Returns:
      Training and test examples; at p = 113 and a fraction of 0.3, 3,830 and 8,939.

    Raises:
      UserError: an argument is outside its range, or a split is empty.
    """
    _check(modulus, operation, train_fraction)
    rng = np.random.default_rng(seed)
    a, b = np.divmod(np.arange(modulus**2), modulus)
    if operation == "a/b":
        a, b = a[b != 0], b[b != 0]
    if operation == _RANDOM:
        results = rng.integers(0, modulus, len(a))
    elif operation == _COMPOSITION:
        results = _composed(a, b)
    else:
        results = _OPERATIONS[operation](a, b, modulus) % modulus
    everything = Examples(np.stack([a, b], axis=1).astype(np.int32), results.astype(np.int32))
    order = rng.permutation(len(a))
    num_train = int(train_fraction * len(a))
    if not 0 < num_train < len(a):
        raise UserError(f"train_fraction = {train_fraction} leaves a split without examples")
    train, test = order[:num_train], order[num_train:]
    return (
        Examples(*(x[train] for x in everything)),
        Examples(*(x[test] for x in everything)),
    )


def _check(modulus: int, operation: str, train_fraction: float) -> None:
    if operation not in (*_OPERATIONS, _RANDOM, _COMPOSITION):
        known = ", ".join([*_OPERATIONS, _RANDOM, _COMPOSITION])
        raise UserError(f"unknown operation {operation!r}; use one of {known}")
    if operation == _COMPOSITION:
        if modulus != len(_PERMUTATIONS):
            raise UserError(f"operation s5 needs modulus = {len(_PERMUTATIONS)}, got {modulus}")
    elif not _MODULI[0] <= modulus <= _MODULI[1] or any(
        modulus % k == 0 for k in range(2, int(modulus**0.5) + 1)
    ):
        raise UserError(
            f"modulus must be a prime from {_MODULI[0]} to {_MODULI[1]}, for example 113; got "
            f"{modulus}"
        )
    if not 0 < train_fraction < 1:
        raise UserError(f"train_fraction must lie strictly between 0 and 1, got {train_fraction}")


def _inverses(p: int) -> np.ndarray:
    """Multiplicative inverses mod p, and 0 for 0: b^(p-2) by Fermat."""
    return np.array([pow(b, p - 2, p) for b in range(p)])


def _composed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Numbers of the permutations "b, then a", from the numbers of a and b."""
    powers = 5 ** np.arange(4, -1, -1)  # lexicographic order is the order of numbers in base 5
    composed = _PERMUTATIONS[a[:, None], _PERMUTATIONS[b]]
    numbers: np.ndarray = np.searchsorted(_PERMUTATIONS @ powers, composed @ powers)
    return numbers
