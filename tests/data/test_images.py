import os
from pathlib import Path

import numpy as np
import pytest

from infojax.data import images
from infojax.data.images import Split
from infojax.errors import UserError
from tests.data import fake_tfds

REAL = Path(os.environ.get("TFDS_DATA_DIR", "/nonexistent"))


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


def test_moments_by_channel():
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3), np.uint8)
    mean, std = images._moments(pixels)
    np.testing.assert_allclose(mean, (pixels / 255).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, (pixels / 255).std((0, 1, 2)), rtol=1e-5)


def test_subset_and_validation():
    data = images.load("digits")
    part = images.subset(data, 100, 0.25)
    np.testing.assert_array_equal(part.train.labels, data.train.labels[:75])
    np.testing.assert_array_equal(part.test.images, data.train.images[75:100])
    assert part.mean == data.mean
    assert images.subset(data, 0, 0.0).train.labels.shape == (1437,)
    whole = images.subset(data, 0, 0.1)
    assert (len(whole.train.labels), len(whole.test.labels)) == (1293, 144)


@pytest.mark.parametrize(
    ("size", "fraction", "named"),
    [(1438, 0.0, "train_size"), (-1, 0.0, "train_size"), (0, 1.0, "validation_fraction"),
     (0, -0.1, "validation_fraction"), (4, 0.01, "leaves a split empty")],
)  # fmt: skip
def test_impossible_subsets(size, fraction, named):
    with pytest.raises(UserError, match=named):
        images.subset(images.load("digits"), size, fraction)


@pytest.fixture
def builder(monkeypatch):
    """A builder of 7 training, 4 test and 5 unlabelled images."""
    fake = fake_tfds.builder(train=7, test=4, unlabelled=5)
    monkeypatch.setattr(images, "_READ_AT_ONCE", 3)
    monkeypatch.setattr(images, "_builder", lambda name, data_dir: fake)
    return fake


def test_arrays_are_read_and_cached(builder, tmp_path):
    data = images.load("fake", cache_dir=tmp_path)
    assert builder.reads == ["train", "test"]
    for name in ("train", "test"):
        split: Split = getattr(data, name)
        examples = builder.info.splits[name]
        np.testing.assert_array_equal(split.images, [e["image"] for e in examples])
        np.testing.assert_array_equal(split.labels, [e["label"] for e in examples])
    again = images.load("fake", cache_dir=tmp_path)
    assert len(builder.reads) == 2
    np.testing.assert_array_equal(again.train.images, data.train.images)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)
    (cache,) = tmp_path.iterdir()
    cache.write_bytes(cache.read_bytes()[:200])  # truncated
    again = images.load("fake", cache_dir=tmp_path)
    assert len(builder.reads) == 4
    np.testing.assert_array_equal(again.train.images, data.train.images)


def test_unlabelled_split(builder, tmp_path):
    """It has a cache file of its own; data sets without one have no unlabelled images."""
    expected = [example["image"] for example in builder.info.splits["unlabelled"]]
    for _ in range(2):
        found = images.load_unlabelled("fake", cache_dir=tmp_path)
        np.testing.assert_array_equal(found, expected)
        assert len(images.load("fake", cache_dir=tmp_path).train.labels) == 7
    assert builder.reads == ["unlabelled", "train", "test"]
    del builder.info.splits["unlabelled"]
    assert images.load_unlabelled("fake", cache_dir=tmp_path) is None
    assert images.load_unlabelled("digits") is None


def test_unwritable_cache_is_skipped(builder, tmp_path):
    (tmp_path / "file").write_text("")
    data = images.load("fake", cache_dir=tmp_path / "file" / "cache")
    assert len(data.train.labels) == 7


def test_data_sets_not_for_classification(builder, tmp_path):
    builder.info.features["image"].shape = (None, None, 3)
    with pytest.raises(UserError, match="images of one size"):
        images.load("fake", cache_dir=tmp_path)
    builder.info.features["image"].shape = (4, 4, 3)
    del builder.info.splits["test"]
    with pytest.raises(UserError, match="no split 'test'"):
        images.load("fake", cache_dir=tmp_path)


def test_missing_and_unknown_data_sets(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="'nonesuch' is unknown to TFDS"):
        images.load("nonesuch", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "tensorflow", None)
    with pytest.raises(UserError) as caught:
        images.load("cifar10", str(tmp_path))
    message = str(caught.value)
    assert "\n" not in message and "TFDS_DATA_DIR" in message and "tensorflow" in message


@pytest.mark.skipif(not (REAL / "cifar10").exists(), reason="TFDS_DATA_DIR holds no cifar10")
def test_real_cifar10():
    data = images.load("cifar10")
    assert data.train.images.shape == (50_000, 32, 32, 3) and len(data.test.labels) == 10_000
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    np.testing.assert_allclose(data.mean, [0.4914, 0.4822, 0.4465], atol=1e-3)
    np.testing.assert_allclose(data.std, [0.2470, 0.2435, 0.2616], atol=1e-3)
