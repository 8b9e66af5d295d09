import itertools

import numpy as np
import pytest

from infojax.data.modular import split_examples
from infojax.errors import UserError


def _divide(a, b, p):
    """The unique c with c·b = a mod p."""
    (quotient,) = [c for c in range(p) if (c * b - a) % p == 0]
    return quotient


BRUTE_FORCE = {
    "a+b": lambda a, b, p: (a + b) % p,
    "a-b": lambda a, b, p: (a - b) % p,
    "a*b": lambda a, b, p: (a * b) % p,
    "a/b": _divide,
    "a^2+b^2": lambda a, b, p: (a * a + b * b) % p,
    "a^2+ab+b^2": lambda a, b, p: (a * a + a * b + b * b) % p,
    "a^3+ab": lambda a, b, p: (a * a * a + a * b) % p,
}


def _pairs(examples):
    return [tuple(pair) for pair in examples.operands.tolist()]


@pytest.mark.parametrize("p", [5, 13, 97])
@pytest.mark.parametrize("operation", BRUTE_FORCE)
def test_results(operation, p):
    for examples in split_examples(p, operation, 0.4, seed=3):
        expected = [BRUTE_FORCE[operation](a, b, p) for a, b in _pairs(examples)]
        np.testing.assert_array_equal(examples.results, expected)


@pytest.mark.parametrize("p", [97, 113])
def test_division_undoes_multiplication(p):
    pairs = []
    for examples in split_examples(p, "a/b", 0.3, seed=0):
        a, b = examples.operands.T.astype(np.int64)
        np.testing.assert_array_equal(examples.results * b % p, a)
        pairs += _pairs(examples)
    assert sorted(pairs) == [(a, b) for a in range(p) for b in range(1, p)]


def test_large_prime_does_not_overflow():
    p = 1_009
    _, test = split_examples(p, "a^3+ab", 0.3, seed=0)
    index = np.argmax(test.operands.sum(1))
    a, b = map(int, test.operands[index])
    assert a + b > 1_950
    assert test.results[index] == (a**3 + a * b) % p


@pytest.mark.parametrize("operation", ["a+b", "random"])
def test_split_is_disjoint_and_complete(operation):
    train, test = split_examples(113, operation, 0.3, seed=0)
    assert (len(train.results), len(test.results)) == (3830, 8939)
    assert train.operands.shape == (3830, 2)
    assert sorted(_pairs(train) + _pairs(test)) == [(a, b) for a in range(113) for b in range(113)]
    for array in (*train, *test):
        assert array.dtype == np.int32
        assert array.min() == 0
        assert array.max() == 112


def test_split_is_random():
    """Neither split is a block of the table: both contain all a and b about equally often."""
    train, _ = split_examples(113, "a+b", 0.3, seed=0)
    counts = np.stack([np.bincount(column, minlength=113) for column in train.operands.T])
    assert counts.min() > 15
    assert counts.max() < 55
    assert not np.array_equal(train.operands, np.sort(train.operands, axis=0))


@pytest.mark.parametrize("fraction", [0.01, 0.3, 0.5, 0.99])
def test_split_sizes(fraction):
    train, test = split_examples(13, "a+b", fraction, seed=0)
    assert len(train.results) == int(fraction * 169)
    assert len(train.results) + len(test.results) == 169


def test_seed_determines_the_split():
    one, again, other = (split_examples(13, "a+b", 0.3, seed=s) for s in (1, 1, 2))
    for x, y in zip(one, again, strict=True):
        np.testing.assert_array_equal(x.operands, y.operands)
        np.testing.assert_array_equal(x.results, y.results)
    assert set(_pairs(one[0])) != set(_pairs(other[0]))


def _labels(p, seed):
    table = np.full((p, p), -1)
    for examples in split_examples(p, "random", 0.3, seed):
        table[tuple(examples.operands.T)] = examples.results
    return table


def test_random_labels():
    table = _labels(97, 1)
    np.testing.assert_array_equal(table, _labels(97, 1))
    assert np.mean(table == _labels(97, 2)) < 0.03
    counts = np.bincount(table.ravel(), minlength=97)
    assert counts.min() > 50  # expected 97 each, standard deviation about 10
    assert counts.max() < 150
    for name, operation in BRUTE_FORCE.items():
        if name != "a/b":
            a, b = np.mgrid[:97, :97]
            assert np.mean(table == operation(a, b, 97)) < 0.03


def test_composition_in_s5():
    """Every pair, against permutations applied one after the other to five letters."""
    elements = list(itertools.permutations(range(5)))
    pairs = []
    for examples in split_examples(120, "s5", 0.4, seed=3):
        for (a, b), c in zip(_pairs(examples), examples.results, strict=True):
            image = [elements[a][elements[b][i]] for i in range(5)]
            assert elements[c] == tuple(image)
        pairs += _pairs(examples)
    assert sorted(pairs) == list(itertools.product(range(120), repeat=2))


def test_s5_is_a_group_that_does_not_commute():
    table = np.full((120, 120), -1)
    for examples in split_examples(120, "s5", 0.4, seed=0):
        table[tuple(examples.operands.T)] = examples.results
    everything = np.arange(120)
    np.testing.assert_array_equal(np.sort(table, 0), np.tile(everything[:, None], 120))
    np.testing.assert_array_equal(np.sort(table, 1), np.tile(everything, (120, 1)))
    np.testing.assert_array_equal(table[0], everything)
    np.testing.assert_array_equal(table[table[7]][:, 11], table[7, table[:, 11]])
    assert np.mean(table == table.T) == 7 / 120  # number of conjugacy classes over the order


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((12, "a+b", 0.3), ["modulus", "prime", "12"]),
        ((2, "a+b", 0.3), ["modulus", "from 5 to 4093", "2"]),
        ((3, "a+b", 0.3), ["modulus", "from 5 to 4093", "3"]),
        ((1, "a+b", 0.3), ["modulus", "1"]),
        ((0, "a+b", 0.3), ["modulus", "0"]),
        ((-7, "a+b", 0.3), ["modulus", "-7"]),
        ((25, "a+b", 0.3), ["modulus", "prime", "25"]),
        ((113 * 127, "a+b", 0.3), ["modulus", "prime"]),
        ((13, "a+b", 0), ["train_fraction", "between 0 and 1"]),
        ((13, "a+b", 1), ["train_fraction", "between 0 and 1"]),
        ((13, "a+b", 1.0), ["train_fraction", "between 0 and 1"]),
        ((13, "a+b", -1), ["train_fraction", "-1"]),
        ((13, "a+b", 1.5), ["train_fraction", "1.5"]),
        ((13, "a+b", float("nan")), ["train_fraction", "nan"]),
        ((13, "a+b", 0.001), ["train_fraction", "0.001", "without examples"]),
        ((13, "a%b", 0.3), ["operation", "'a%b'", "a+b", "a^3+ab", "random"]),
        ((13, "", 0.3), ["operation", "a+b", "s5"]),
        ((113, "s5", 0.3), ["s5", "modulus = 120", "113"]),
        ((120, "a+b", 0.3), ["modulus", "prime", "120"]),
    ],
)
def test_errors(arguments, words):
    with pytest.raises(UserError) as caught:
        split_examples(*arguments, seed=0)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    for word in words:
        assert word in message
