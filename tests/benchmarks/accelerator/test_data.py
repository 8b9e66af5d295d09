"""Data in parts: packed, checked, brought one by one."""

import io

import numpy as np
import pytest
from PIL import Image

from benchmarks.accelerator import data, pack
from infojax.errors import UserError

ABOUT = {"dataset": "pictures", "num_classes": 2}


def encoded(n, seed):
    rng = np.random.default_rng(seed)
    files = []
    for picture in rng.integers(0, 256, (n, 4, 4, 3), np.uint8):
        buffer = io.BytesIO()
        Image.fromarray(np.kron(picture, np.ones((2, 2, 1), np.uint8))).save(buffer, "JPEG")
        files.append(buffer.getvalue())
    return pack.Encoded(files, np.arange(n, dtype=np.int32) % 2, 1, (8, 8, 3))


def pixels(split):
    return np.concatenate([data.pixels_of(file, split.shape) for file in split.files])


@pytest.fixture
def packed(tmp_path):
    splits = [encoded(40, 0), encoded(9, 1)]
    pack.pack(tmp_path / "parts", splits, ABOUT, 2_500)
    return tmp_path, splits


def test_parts_hold_every_image_in_order(packed):
    directory, splits = packed
    parts = sorted((directory / "parts").glob("*.part"))
    assert len(parts) > 1
    assert all(part.stat().st_size < 4_500 for part in parts)
    found = data.load(directory / "parts", directory / "store")
    for split, own in zip((found.train, found.test), splits, strict=True):
        np.testing.assert_array_equal(split.images, pixels(own))
        np.testing.assert_array_equal(split.labels, own.labels)


def test_parts_may_come_one_after_another(packed):
    directory, _ = packed
    first, *others = sorted((directory / "parts").glob("*.part"))
    kept = [(path, path.read_bytes()) for path in others]
    for path, _ in kept:
        path.unlink()
    with pytest.raises(data.IncompleteError, match=f"{others[0].name} .missing"):
        data.load(directory / "parts", directory / "store")
    first.unlink()  # decoded already
    for path, content in kept:
        path.write_bytes(content)
    assert len(data.load(directory / "parts", directory / "store").train.labels) == 40


def test_a_damaged_part_is_named(packed):
    directory, _ = packed
    part = min((directory / "parts").glob("*.part"))
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 1
    part.write_bytes(content)
    with pytest.raises(data.IncompleteError, match=f"{part.name} .damaged"):
        data.load(directory / "parts", directory / "store")


def test_a_decoder_that_differs_is_an_error(packed, monkeypatch):
    directory, _ = packed
    exact = data.pixels_of
    monkeypatch.setattr(data, "pixels_of", lambda *arguments: exact(*arguments) ^ 1)
    with pytest.raises(UserError, match="--lossless"):
        data.load(directory / "parts", directory / "store")


def test_columns_of_webp_are_lossless():
    split = encoded(230, 2)
    columns = pack.recoded(split)
    assert len(columns.files) == 3
    np.testing.assert_array_equal(pixels(columns), pixels(split))


def test_without_a_manifest_the_message_says_how_to_pack(tmp_path):
    with pytest.raises(UserError, match="manifest"):
        data.load(tmp_path, tmp_path / "store")
