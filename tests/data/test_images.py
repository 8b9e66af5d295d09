import os
from types import SimpleNamespace

import numpy as np
import pytest

from infojax.data import images, memory
from infojax.data.images import Split
from infojax.errors import UserError


def test_digits():
    data = images.load("digits")
    assert data.train.images.shape == (1437, 8, 8, 1) and data.test.images.shape == (360, 8, 8, 1)
    assert data.train.images.dtype == np.uint8 and data.train.labels.dtype == np.int32
    assert data.train.images.max() == 255 and data.num_classes == 10
    for labels in (data.train.labels, data.test.labels):
        assert np.bincount(labels, minlength=10).min() > len(labels) / 15
    pixels = data.train.images / 255
    np.testing.assert_allclose(data.mean, [pixels.mean()], rtol=1e-6)
    np.testing.assert_allclose(data.std, [pixels.std()], rtol=1e-5)
    ours = {image.tobytes() for image in data.test.images}
    assert not ours & {image.tobytes() for image in data.train.images}


def test_subset_and_validation():
    data = images.load("digits")
    part = images.subset(data, 100, 0.25)
    np.testing.assert_array_equal(part.train.labels, data.train.labels[:75])
    np.testing.assert_array_equal(part.test.images, data.train.images[75:100])
    assert part.mean == data.mean
    assert images.subset(data, 0, 0.0).train.labels.shape == (1437,)
    untested = data._replace(test=Split(data.test.images[:0], data.test.labels[:0]))
    with pytest.raises(UserError, match="no test images: set validation_fraction"):
        images.subset(untested, 0, 0.0)
    whole = images.subset(untested, 0, 0.1)
    assert (len(whole.train.labels), len(whole.test.labels)) == (1293, 144)


@pytest.mark.parametrize(
    ("size", "fraction", "named"),
    [(1438, 0.0, "train_size"), (-1, 0.0, "train_size"), (0, 1.0, "validation_fraction"),
     (0, -0.1, "validation_fraction"), (4, 0.01, "leaves a split empty")],
)  # fmt: skip
def test_impossible_subsets(size, fraction, named):
    with pytest.raises(UserError, match=named):
        images.subset(images.load("digits"), size, fraction)


def _arrays(**changes):
    """Arrays of six grey training images of three classes, and of three test images."""
    rng = np.random.default_rng(0)
    return {
        "train_images": rng.integers(0, 256, (6, 4, 5, 1), np.uint8),
        "train_labels": np.array([0, 1, 2, 0, 1, 2], np.int32),
        "test_images": rng.integers(0, 256, (3, 4, 5, 1), np.uint8),
        "test_labels": np.array([2, 1, 0], np.int32),
    } | changes


def _labels(*labels):
    return np.array(labels, np.int32)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"train_labels": _labels(0, 1, 3, 0, 1, 3)}, "no training image has the label 2, though"),
        ({"train_labels": _labels(1, 2, 3, 1, 2, 3)}, "no training image has the label 0"),
        ({"train_labels": _labels(0, 1, -1, 0, 1, 2)}, "the label -1 of split train"),
        (
            {"test_labels": _labels(0, 1, 3)},
            "the label 3 of split test is not one of the 3 classes",
        ),
        ({"test_images": np.zeros((3, 4, 5, 3), np.uint8)}, "test images are 4 x 5 x 3"),
        ({"test_images": np.zeros((3, 5, 5, 1), np.uint8)}, "training images are 4 x 5 x 1"),
    ],
)
def test_inconsistent_splits(changes, words):
    with pytest.raises(UserError, match=words) as caught:
        images._checked("own", _arrays(**changes), None, 0)
    assert str(caught.value).startswith("own: ") and "\n" not in str(caught.value)


def test_declared_classes_may_lack_images():
    """TFDS's emnist/letters declares 37 classes and uses 26."""
    data = images._checked("own", _arrays(train_labels=_labels(1, 2, 4, 1, 2, 4)), 5, 0)
    assert data.num_classes == 5


def test_image_size_of_arrays():
    assert images.load("digits", image_size=8).train.images.shape[1:] == (8, 8, 1)
    with pytest.raises(UserError, match="digits holds arrays of 8 x 8, which image_size = 16 does"):
        images.load("digits", image_size=16)


def test_limit_of_memory(monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 100)
    with pytest.raises(UserError, match=r"the images take .* GiB, more than half of a device's"):
        images._checked("own", _arrays(), None, 0)


def test_limit_is_half_of_a_device(monkeypatch):
    statistics = lambda: {"bytes_limit": 1000}  # noqa: E731
    device = SimpleNamespace(memory_stats=statistics)
    with monkeypatch.context() as patch:
        patch.setattr(memory.jax, "local_devices", lambda: [device])
        assert memory.limit() == 500
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.limit() == machine // 4  # two devices share it
