"""The labelled set, and the pool of images without labels."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from infojax.data import images, labelled
from infojax.data.images import ImageData, Split
from infojax.errors import UserError

LABELS = np.random.default_rng(0).integers(0, 5, 300).astype(np.int32)


def test_balanced_drawn_at_random_and_by_seed_alone():
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
    np.testing.assert_array_equal(np.sort(LABELS[small]), range(5))  # one image a class


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


def test_unlabelled_split(monkeypatch, tmp_path):
    """As of STL-10: labels there are -1; the cache of the other splits is another file."""
    rng = np.random.default_rng(0)
    sizes = {"train": 3, "test": 2, "unlabelled": 5}
    pixels = {name: rng.integers(0, 256, (n, 4, 4, 3), np.uint8) for name, n in sizes.items()}

    class Source(list):
        def __getitems__(self, rows):
            return [self[i] for i in rows]

    def source(split):
        label = -1 if split == "unlabelled" else 1
        return Source({"image": image, "label": label} for image in pixels[split])

    features = {"image": SimpleNamespace(shape=(4, 4, 3)), "label": SimpleNamespace(num_classes=2)}
    fake = SimpleNamespace(
        info=SimpleNamespace(features=features, splits=dict(sizes)),
        version="1.0.0",
        data_path=Path("somewhere"),
        as_data_source=source,
    )
    monkeypatch.setattr(images, "_builder", lambda name, data_dir: fake)
    for _ in range(2):  # read, then from the cache
        found = images.load_unlabelled("fake", cache_dir=tmp_path)
        np.testing.assert_array_equal(found, pixels["unlabelled"])
        data = images.load("fake", cache_dir=tmp_path)
        np.testing.assert_array_equal(data.train.images, pixels["train"])
        fake.as_data_source = None
    del fake.info.splits["unlabelled"]
    assert images.load_unlabelled("fake", cache_dir=tmp_path) is None
    assert images.load_unlabelled("digits") is None
