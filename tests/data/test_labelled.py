"""The labelled set, and the pool of unlabelled images."""

import numpy as np
import pytest

from infojax.data import labelled
from infojax.data.images import ImageData, Split
from infojax.errors import UserError

LABELS = np.random.default_rng(0).integers(0, 5, 300).astype(np.int32)


def test_draw_is_balanced_random_and_determined_by_the_seed():
    rows = labelled.draw(LABELS, 50, 5, seed=3)
    assert rows.dtype == np.int32 and np.all(np.diff(rows) > 0)
    np.testing.assert_array_equal(np.bincount(LABELS[rows]), 10)
    np.testing.assert_array_equal(labelled.draw(LABELS, 50, 5, seed=3), rows)
    assert rows.max() > 200 and len(np.intersect1d(rows, labelled.draw(LABELS, 50, 5, 4))) < 25


def test_every_image_is_drawn_equally_often():
    counts = np.zeros(len(LABELS))
    for seed in range(400):
        counts[labelled.draw(LABELS, 25, 5, seed)] += 1
    expected = 400 * 5 / np.bincount(LABELS)[LABELS]
    chi2 = np.sum((counts - expected) ** 2 / expected)
    assert 200 < chi2 < 400  # about 295 ± 24


def test_sets_of_a_seed_are_nested():
    small, large = (labelled.draw(LABELS, n, 5, seed=1) for n in (5, 100))
    assert set(small) < set(large)
    np.testing.assert_array_equal(np.sort(LABELS[small]), range(5))  # one image per class


def test_all_labels():
    np.testing.assert_array_equal(labelled.draw(LABELS, 0, 5, seed=1), np.arange(300))


@pytest.mark.parametrize(
    ("num_labels", "named"),
    [(12, "multiple of the 5 classes"), (-5, "multiple"), (500, "100 images of each class")],
)
def test_sets_that_cannot_be_drawn(num_labels, named):
    with pytest.raises(UserError, match=named):
        labelled.draw(LABELS, num_labels, 5, seed=0)


def test_pool_holds_labelled_and_unlabelled_images():
    x = np.arange(4 * 12, dtype=np.uint8).reshape(4, 2, 2, 3)
    train = Split(x[:3], np.array([2, 0, 1], np.int32))
    data = ImageData(train, train, 3, np.zeros(3), np.ones(3))
    together, labels = labelled.pool(data, x[3:])
    np.testing.assert_array_equal(together, x)
    np.testing.assert_array_equal(labels, [2, 0, 1, -1])
    assert labels.dtype == np.int32
    assert labelled.pool(data, None)[0] is train.images
