"""Directories of image files."""

import os
import warnings

import numpy as np
import pytest
from PIL import Image

from infojax.data import decoding, images, memory
from infojax.errors import UserError
from tests.data import pictures


@pytest.fixture
def load(tmp_path):
    """Loads the directory `own`, with a cache beside it."""

    def call(**options):
        return images.load(str(tmp_path / "own"), cache_dir=tmp_path / "cache", **options)

    return call


def _by_class(split, classes):
    return [sorted(x.tobytes() for x in split.images[split.labels == c]) for c in range(classes)]


@pytest.mark.parametrize("channels", [(), (3,)])
def test_train_and_test(tmp_path, load, channels):
    """Classes are numbered by sorted names; grey images have one channel."""
    names = ("b", "a c", "A_1")
    pixels = pictures.tree(tmp_path / "own", names, channels, train=4, test=2)
    data = load()
    assert data.train.images.shape == (12, 5, 6, *(channels or (1,)))
    assert data.num_classes == 3 and data.train.labels.dtype == np.int32
    order = [2, 1, 0]  # A_1, a c, b
    for split in ("train", "test"):
        expected = [sorted(x.tobytes() for x in pixels[split][c]) for c in order]
        assert _by_class(getattr(data, split), 3) == expected
        assert getattr(data, split).labels.tolist() != sorted(getattr(data, split).labels)
    np.testing.assert_array_equal(load().train.images, data.train.images)


def test_one_tree(tmp_path, load):
    """Without a test split, a fraction of the shuffled images is one."""
    pictures.tree(tmp_path, ("a", "b", "train"), own=20)
    data = load()
    assert data.test.images.shape == (0, 5, 6, 3) and data.num_classes == 3
    part = images.subset(data, 0, 0.5)
    assert np.bincount(part.test.labels).min() > 4 and len(part.train.labels) == 30
    with pytest.raises(UserError, match="validation_fraction"):
        images.subset(data, 0, 0.0)


def test_jpeg_of_differing_sizes(tmp_path, load):
    """Refused, or resized: the shorter side, then the centre; upright as EXIF says."""
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    pictures.save(tmp_path / "own/train/a/0.JPG", np.tile(ramp, (64, 1)))  # dark on the left
    pictures.save(tmp_path / "own/test/a/0.jpeg", np.tile(ramp[:, None], (1, 64)))
    turned = Image.fromarray(np.tile(ramp, (32, 1)))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    turned.save(tmp_path / "own/train/a/1.jpg", exif=exif)
    with pytest.raises(UserError, match=r"1\.jpg is 64 x 32, but others are 64 x 64: set image_si"):
        load()
    data = load(image_size=8)
    assert data.train.images.shape == (2, 8, 8, 1) and data.test.images.shape == (1, 8, 8, 1)
    across, down = (
        np.diff(data.train.images.astype(int), axis=2),
        np.diff(data.train.images.astype(int), axis=1),
    )
    one, other = np.argsort(across.sum((1, 2, 3)))[::-1]
    assert across[one].min() > 20 and np.abs(down[one]).max() <= 4
    assert down[other].min() > 8 and np.abs(across[other]).max() <= 4
    assert down[other].sum(0).max() < 160  # the centre half of the ramp


def test_modes_of_pixels(tmp_path, load):
    """Grey images become colour images beside coloured ones; transparency is dropped."""
    root = tmp_path / "own" / "a"
    grey = np.arange(30, dtype=np.uint8).reshape(5, 6)
    colour = np.stack([grey, grey + 50, grey + 100], -1)
    clear = np.full((5, 6, 1), 7, np.uint8)
    pictures.save(root / "0.png", grey)
    pictures.save(root / "1.png", np.concatenate([colour, clear], -1))
    pictures.save(root / "2.png", np.concatenate([grey[..., None], clear], -1))
    palette = Image.fromarray(grey).convert("P")
    palette.save(root / "3.png", transparency=bytes(range(256)))
    Image.fromarray(grey > 10).save(root / "4.png")
    data = load()
    found = sorted(x.tobytes() for x in data.train.images)
    wide = np.repeat(grey[..., None], 3, -1)
    bits = np.where(wide > 10, 255, 0).astype(np.uint8)
    assert found == sorted(x.tobytes() for x in (wide, colour, wide, wide, bits))


def _break(path):
    path.write_bytes(path.read_bytes()[:60])


def _deepen(path):
    Image.fromarray(np.full((5, 6), 300, np.uint16)).save(path)


def _empty(path):
    for other in path.parent.iterdir():
        other.unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_break, r"train/b/0\.png is a broken image: replace or remove it"),
        (lambda path: path.write_text("no image"), r"b/0\.png is a broken image"),
        (_deepen, r"b/0\.png has more than 8 bits per channel"),
        (_empty, "train/b holds no images"),
        (lambda path: path.unlink() or path.symlink_to("nowhere"), r"b/0\.png cannot be read"),
        (lambda path: path.parent.rename(path.parent.with_name("c")), "the class 'b', which .*tra"),
        (lambda path: pictures.save(path, np.zeros((5, 7, 3), np.uint8)), "is 5 x 7, but others"),
    ],
)
def test_unusable(tmp_path, load, change, words):
    pictures.tree(tmp_path / "own", ("a", "b"), train=2, test=1)
    change(tmp_path / "own" / "train" / "b" / "0.png")
    with pytest.raises(UserError, match=words) as caught, warnings.catch_warnings():
        warnings.simplefilter("error")
        load()
    assert "\n" not in str(caught.value)


def test_unusable_trees(tmp_path, load):
    with pytest.raises(UserError, match="there is no directory"):
        load()
    (tmp_path / "own").mkdir()
    with pytest.raises(UserError, match="one subdirectory per class"):
        load()
    pictures.tree(tmp_path / "own", ("a",), train=2)
    pictures.tree(tmp_path / "own", ("a",), (), test=2)
    with pytest.raises(UserError, match=r"test images are 5 x 6 x 1 .* training images are 5 x 6"):
        load()


def test_two_splits_are_not_two_classes(tmp_path, load):
    for split in ("train", "test"):
        pictures.save(tmp_path / "own" / split / "0.png", np.zeros((5, 6), np.uint8))
    with pytest.raises(UserError, match="own/train must be a directory with one subdirectory per"):
        load()


def test_limit_of_memory(tmp_path, load, monkeypatch):
    """Checked at the first image, and at the first coloured one."""
    pictures.tree(tmp_path, ("a",), (), own=3)
    monkeypatch.setattr(memory, "limit", lambda: 3 * 30 - 1)
    with pytest.raises(UserError, match="the images take"):
        load()
    monkeypatch.setattr(memory, "limit", lambda: 3 * 30)
    assert len(load().train.labels) == 3
    pictures.save(tmp_path / "own" / "a" / "2.png", np.zeros((5, 6, 3), np.uint8))
    with pytest.raises(UserError, match="the images take"):
        load()


def test_cache_follows_the_files(tmp_path, load, monkeypatch, capsys):
    """A changed, added or removed image and another image_size are seen; nothing else is read."""
    pictures.tree(tmp_path, ("a", "b"), own=3)
    first = load()
    decode = decoding.decode
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "decode", None)
        np.testing.assert_array_equal(load().train.images, first.train.images)
    assert capsys.readouterr().err.startswith(f"{tmp_path / 'own'}: images from the cache ")
    reads = []
    monkeypatch.setattr(decoding, "decode", lambda *args: reads.append(args) or decode(*args))
    path = tmp_path / "own" / "a" / "0.png"
    stat = path.stat()
    pictures.save(path, np.zeros((5, 6, 3), np.uint8))
    os.utime(path, ns=(0, stat.st_mtime_ns + 1))
    assert (load().train.images.max((1, 2, 3)) == 0).sum() == 1
    pictures.save(tmp_path / "own" / "a" / "9.png", np.zeros((5, 6, 3), np.uint8))
    assert len(load().train.labels) == 7
    path.unlink()
    assert len(load().train.labels) == 6
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert load(image_size=4).train.images.shape == (6, 4, 4, 3)
    assert len(reads) == 4 and load(image_size=4) and load() and len(reads) == 4


def test_many_images_in_chunks(tmp_path, load, monkeypatch):
    """Every image arrives in its row, in pools of three."""
    monkeypatch.setattr(decoding, "_AT_ONCE", 3)
    for i in range(11):
        pictures.save(tmp_path / "own" / str(i % 2) / f"{i}.png", np.full((2, 2), i, np.uint8))
    data = load()
    values = data.train.images[:, 0, 0, 0]
    assert sorted(values) == list(range(11))
    np.testing.assert_array_equal(values % 2, data.train.labels)
