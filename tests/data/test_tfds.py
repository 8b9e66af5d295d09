"""Sets of TFDS: fake builders, a builder of one's own, and CIFAR-10 where it is prepared."""

import os
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from infojax.data import decoding, images, memory, tfds
from infojax.data.images import Split
from infojax.errors import UserError
from tests.data import fake_tfds, pictures, snippets

ROOT = Path(__file__).parents[2]
REAL = Path(os.environ.get("TFDS_DATA_DIR", "/nonexistent"))


@pytest.fixture
def builder(monkeypatch, tmp_path):
    """A builder of 7 training, 4 test and 5 unlabelled images."""
    fake = fake_tfds.builder(tmp_path / "prepared", train=7, test=4, unlabelled=5)
    monkeypatch.setattr(tfds, "_READ_AT_ONCE", 3)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: fake)
    return fake


def test_arrays_are_read_and_cached(builder, tmp_path):
    data = images.load("fake", cache_dir=tmp_path / "cache")
    assert builder.reads == ["train", "test"]
    for name in ("train", "test"):
        split: Split = getattr(data, name)
        examples = builder.info.splits[name]
        np.testing.assert_array_equal(split.images, [e["image"] for e in examples])
        np.testing.assert_array_equal(split.labels, [e["label"] for e in examples])
    again = images.load("fake", cache_dir=tmp_path / "cache")
    assert len(builder.reads) == 2
    np.testing.assert_array_equal(again.train.images, data.train.images)
    np.testing.assert_array_equal(again.test.labels, data.test.labels)
    (cache,) = (tmp_path / "cache").iterdir()
    cache.write_bytes(cache.read_bytes()[:200])  # truncated
    again = images.load("fake", cache_dir=tmp_path / "cache")
    assert len(builder.reads) == 4
    np.testing.assert_array_equal(again.train.images, data.train.images)


def test_unlabelled_split(builder, tmp_path):
    """It has a cache file of its own; data sets without one have no unlabelled images."""
    expected = [example["image"] for example in builder.info.splits["unlabelled"]]
    for _ in range(2):
        found = images.load_unlabelled("fake", cache_dir=tmp_path / "cache")
        np.testing.assert_array_equal(found, expected)
        assert len(images.load("fake", cache_dir=tmp_path / "cache").train.labels) == 7
    assert builder.reads == ["unlabelled", "train", "test"]
    del builder.info.splits["unlabelled"]
    assert images.load_unlabelled("fake", cache_dir=tmp_path / "cache") is None
    assert images.load_unlabelled("digits") is None


def test_unwritable_cache_is_skipped(builder, tmp_path):
    (tmp_path / "file").write_text("")
    data = images.load("fake", cache_dir=tmp_path / "file" / "cache")
    assert len(data.train.labels) == 7


def test_a_set_prepared_again_is_read_again(builder, tmp_path, capsys):
    """With the same name, version, path and sizes of files; the outdated cache is removed."""
    cache_dir = tmp_path / "cache"
    images.load("fake", cache_dir=cache_dir)
    assert capsys.readouterr().err == ""
    images.load("fake", cache_dir=cache_dir)
    (before,) = cache_dir.iterdir()
    assert capsys.readouterr().err == f"fake: images from the cache {before}\n"
    for example in builder.info.splits["train"]:
        example["image"] = 255 - example["image"]
    prepared = builder.data_path / "fake-train.array_record"
    os.utime(prepared, ns=(0, prepared.stat().st_mtime_ns + 1))
    data = images.load("fake", cache_dir=cache_dir)
    assert len(builder.reads) == 4
    np.testing.assert_array_equal(
        data.train.images, [e["image"] for e in builder.info.splits["train"]]
    )
    (after,) = cache_dir.iterdir()
    assert after != before and capsys.readouterr().err == ""


def test_images_of_differing_sizes(builder, tmp_path):
    rng = np.random.default_rng(1)
    for i, example in enumerate(builder.info.splits["train"]):
        example["image"] = rng.integers(0, 256, (4 + i, 6, 3), np.uint8)
    builder.info.features["image"].shape = (None, None, 3)
    with pytest.raises(UserError, match="images of one size: set image_size"):
        images.load("fake", cache_dir=tmp_path / "cache")
    data = images.load("fake", image_size=4, cache_dir=tmp_path / "cache")
    first = builder.info.splits["train"][0]["image"]
    np.testing.assert_array_equal(data.train.images[0], first[:, 1:5])  # the centre of 4 x 6
    assert data.train.images.shape == (7, 4, 4, 3) and data.test.images.shape == (4, 4, 4, 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.info.features.pop("label"), "has the features image, but needs image"),
        (lambda x: setattr(x.info.features["image"], "shape", ()), "must be tfds.features.Image"),
        (lambda x: x.info.splits.pop("train"), "has no split 'train', but test, unlabelled"),
        (lambda x: x.info.splits["test"][1].update(label=-1), "the label -1 of split test"),
        (lambda x: _to_16_bits(x.info.splits["train"]), "images of uint16, not uint8"),
        (lambda x: setattr(x, "as_data_source", _not_random_access), "file_format='array_record'"),
    ],
)
def test_unusable_builders(builder, tmp_path, change, words):
    change(builder)
    with pytest.raises(UserError, match=words) as caught:
        images.load("fake", cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)


def _to_16_bits(split):
    for example in split:
        example["image"] = example["image"].astype(np.uint16)


def _not_random_access(split):
    raise NotImplementedError("Random access data source for file format is not supported")


def test_without_test_split(builder, tmp_path):
    del builder.info.splits["test"]
    data = images.load("fake", cache_dir=tmp_path / "cache")
    assert data.test.images.shape == (0, 4, 4, 3) and len(data.train.labels) == 7


def test_limit_of_memory_before_reading(builder, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 7 * 48 - 1)
    monkeypatch.setattr(fake_tfds.Source, "__getitems__", None)
    with pytest.raises(UserError, match="fake train: the images take"):
        images.load("fake", cache_dir=tmp_path / "cache")


def test_missing_and_unknown_data_sets(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="'nonesuch' is unknown to TFDS"):
        images.load("nonesuch", str(tmp_path))
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UserError) as caught:
        images.load("cifar10", str(tmp_path))
    message = str(caught.value)
    assert "\n" not in message and "TFDS_DATA_DIR" in message and "tensorflow" in message


def test_own_builder(tmp_path, monkeypatch):
    """The one of docs/data.md, prepared without TensorFlow; one prepared as tfrecord is refused."""
    (source,) = (x for x in snippets.python(ROOT / "docs" / "data.md") if "Hands" in x)
    pixels = pictures.tree(tmp_path / "photos", ("left", "right"), train=3, test=2)
    monkeypatch.chdir(tmp_path)
    registered = tensorflow_datasets.core.registered
    with warnings.catch_warnings(), registered.skip_registration():  # as in a later process
        warnings.simplefilter("ignore")
        exec(source, {"__name__": "own"})
    with pytest.raises(UserError, match="images of one size: set image_size"):
        images.load("hands", "tfds", cache_dir=tmp_path / "cache")
    data = images.load("hands", "tfds", image_size=5, cache_dir=tmp_path / "cache")
    assert data.train.images.shape == (6, 5, 5, 3) and len(data.test.labels) == 4
    for label in (0, 1):
        expected = {decoding.fitted(x, 5).tobytes() for x in pixels["train"][label]}
        ours = data.train.images[data.train.labels == label]
        assert {x.tobytes() for x in ours} == expected
    info = tmp_path / "tfds" / "hands" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(UserError, match="prepare it with file_format='array_record'"):
        images.load("hands", "tfds", cache_dir=tmp_path / "cache")


def test_a_directory_without_a_slash(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hands").mkdir()
    with pytest.raises(UserError, match=r"unknown to TFDS.*; write ./hands for the directory"):
        images.load("hands", str(tmp_path))


@pytest.mark.skipif(not (REAL / "cifar10").exists(), reason="TFDS_DATA_DIR holds no cifar10")
def test_real_cifar10():
    data = images.load("cifar10")
    assert data.train.images.shape == (50_000, 32, 32, 3) and len(data.test.labels) == 10_000
    assert np.bincount(data.train.labels).tolist() == [5000] * 10
    np.testing.assert_allclose(data.mean, [0.4914, 0.4822, 0.4465], atol=1e-3)
    np.testing.assert_allclose(data.std, [0.2470, 0.2435, 0.2616], atol=1e-3)
