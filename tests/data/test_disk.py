"""Images that stay stored are those of `images.load`."""

import warnings

import numpy as np
import pytest
from PIL import Image

from infojax.data import disk, images, memory, stored, tfds
from infojax.errors import UserError
from tests.data import fake_tfds, pictures


def _assert_same(name, cache, **options):
    """Both ways give the same data set, also as parts of it; returns the stored one."""
    whole = images.load(name, cache_dir=cache / "memory", **options)
    found = disk.load(name, cache_dir=cache / "disk", **options)
    for field in ("num_classes", "mean", "std"):
        np.testing.assert_array_equal(getattr(found, field), getattr(whole, field), field)
    parts = images.subset(found, 0, 0.25), images.subset(whole, 0, 0.25)
    for ours, theirs in ((found, whole), parts):
        for split in ("train", "test"):
            _assert_same_split(getattr(ours, split), getattr(theirs, split))
    return found


def _assert_same_split(ours, theirs):
    assert isinstance(ours.images, stored.StoredImages)
    assert ours.images.shape == theirs.images.shape
    np.testing.assert_array_equal(ours.labels, theirs.labels)
    last = len(ours.labels) - 1
    for i in range(last + 1):
        rows = np.array([[last - i], [i]])
        np.testing.assert_array_equal(ours.images[rows], theirs.images[rows])


def test_arrays_stay_in_memory(tmp_path, monkeypatch):
    """Of the machine, not of a device, which may be smaller."""
    _assert_same("digits", tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (12, 5, 4, 3), np.uint8)
    np.savez(tmp_path / "own.npz", images=pixels, labels=np.arange(12) // 4)
    name = str(tmp_path / "own.npz")
    _assert_same(name, tmp_path)
    monkeypatch.setattr(memory, "limit", lambda: 100)
    with pytest.raises(UserError, match=r"device's memory .* \(--config.stream=True\)"):
        images.load(name)
    assert disk.load(name).train.images.shape == (12, 5, 4, 3)
    monkeypatch.setattr(memory, "machine", lambda: 1000)
    with pytest.raises(UserError, match=r"half of this machine's memory .*from a directory"):
        disk.load(name)


@pytest.mark.parametrize("options", [{}, {"image_size": 4}])
def test_directory(tmp_path, monkeypatch, options, capsys):
    """Grey images among coloured ones; the second start finds the scan in the cache."""
    monkeypatch.setattr(stored, "_AT_ONCE", 3)
    own = tmp_path / "own"
    pictures.tree(own, ("b", "a"), train=8, test=3)
    for i in range(5):
        pictures.save(own / "train" / "a" / f"grey{i}.png", np.full((5, 6), 50 * i, np.uint8))
    data = _assert_same(str(own), tmp_path, **options)
    assert data.train.images.shape[-1] == 3 and capsys.readouterr().err == ""
    monkeypatch.setattr(stored, "_scan", None)
    disk.load(str(own), cache_dir=tmp_path / "disk", **options)
    assert capsys.readouterr().err.count("statistics from the cache") == 2


def test_tfds(tmp_path, monkeypatch):
    fake = fake_tfds.builder(tmp_path / "prepared", train=7, test=3)
    monkeypatch.setattr(tfds, "_READ_AT_ONCE", 3)
    monkeypatch.setattr(stored, "_AT_ONCE", 3)
    monkeypatch.setattr(tfds, "builder", lambda name, data_dir: fake)
    _assert_same("fake", tmp_path)


def test_hub(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.disable_progress_bars()
    rng = np.random.default_rng(0)
    pixels = [Image.fromarray(x) for x in rng.integers(0, 256, (6, 4, 5, 3), np.uint8)]
    labels = datasets.ClassLabel(names=["a", "b"])
    features = datasets.Features({"image": datasets.Image(), "label": labels})
    columns = {"image": pixels, "label": [0, 1] * 3}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk(tmp_path / "set")
    _assert_same(f"hf:{tmp_path / 'set'}", tmp_path)


def _break(path):
    path.write_bytes(path.read_bytes()[:60])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_break, r"train/b/1\.png is a broken image: replace or remove it"),
        (lambda path: pictures.save(path, np.zeros((5, 7, 3), np.uint8)), "is 5 x 7, but others"),
        (lambda path: path.unlink() or path.symlink_to("nowhere"), r"b/1\.png cannot be read"),
        (
            lambda path: pictures.tree(path.parents[2], ("a", "b"), size=(7, 7), test=1),
            "test images are 7 x 7 x 3 .*, but training images are 5 x 6 x 3",
        ),
    ],
)
@pytest.mark.parametrize("at_once", [1, 64])
def test_unusable(tmp_path, monkeypatch, at_once, change, words):
    """One line, before training starts."""
    monkeypatch.setattr(stored, "_AT_ONCE", at_once)
    pictures.tree(tmp_path / "own", ("a", "b"), train=2, test=1)
    change(tmp_path / "own" / "train" / "b" / "1.png")
    with pytest.raises(UserError, match=words) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        disk.load(str(tmp_path / "own"), cache_dir=tmp_path / "cache")
    assert "\n" not in str(caught.value)
