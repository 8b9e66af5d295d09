"""Images in .npz files."""

import numpy as np
import pytest

from infojax.data import images, memory
from infojax.errors import UserError
from tests.data import snippets
from tests.data.test_tfds import ROOT

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (6, 4, 5), np.uint8)
LABELS = np.array([0, 0, 1, 1, 2, 2])


def _load(directory, **arrays):
    np.savez(directory / "own.npz", **arrays)
    return images.load(str(directory / "own.npz"))


def test_train_and_test(tmp_path):
    """Images keep their labels, in a new order."""
    test = 255 - GREY
    data = _load(tmp_path, images=GREY, labels=LABELS, test_images=test, test_labels=LABELS)
    assert data.num_classes == 3 and data.train.labels.dtype == np.int32
    for split, pixels in ((data.train, GREY), (data.test, test)):
        label_of = {image.tobytes(): label for image, label in zip(pixels, LABELS, strict=True)}
        assert [label_of[x.tobytes()] for x in split.images] == split.labels.tolist()
        assert {x.tobytes() for x in split.images} == set(label_of)
        assert split.labels.tolist() != LABELS.tolist()


def test_without_test_images(tmp_path):
    data = _load(tmp_path, images=np.repeat(GREY[..., None], 3, -1), labels=LABELS.astype(np.uint8))
    assert data.train.images.shape == (6, 4, 5, 3) and data.test.images.shape == (0, 4, 5, 3)


def test_snippet_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for source in snippets.python(ROOT / "docs" / "data.md"):
        if "savez" in source:
            exec(source, {})
    data = images.load("own.npz")
    assert data.train.images.shape == (500, 12, 12, 1) and len(data.test.labels) == 100
    data = images.load("embeddings.npz")
    assert data.train.images.shape == (1000, 1, 1, 64) and data.num_classes == 5


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("names", [("features", "test_features"), ("images", "test_images")])
def test_embeddings(tmp_path, dtype, names):
    """Rows keep their labels; the moments are those of the training split."""
    x = RNG.standard_normal((6, 3)).astype(dtype)
    x[:, 2] = 0.1
    splits = {names[0]: x, names[1]: x[:1] + dtype(9), "test_labels": LABELS[:1]}
    data = _load(tmp_path, labels=LABELS, **splits)
    assert data.of_embeddings and data.num_classes == 3
    single = x.astype(np.float32)[:, None, None]
    assert data.train.images.dtype == data.test.images.dtype == np.float32
    np.testing.assert_array_equal(data.test.images[0, 0, 0], (x[0] + dtype(9)).astype(np.float32))
    order = np.argsort(data.train.images[:, 0, 0, 0])
    rows = np.argsort(single[:, 0, 0, 0])
    np.testing.assert_array_equal(data.train.images[order], single[rows])
    np.testing.assert_array_equal(data.train.labels[order], LABELS[rows])
    exact = x[:, :2].astype(np.float64)
    np.testing.assert_allclose(data.mean[:2], exact.mean(0), atol=1e-6)
    np.testing.assert_allclose(data.std[:2], exact.std(0), rtol=1e-6)
    assert data.mean[2] == single[0, 0, 0, 2] and data.std[2] == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"labels": None}, r"no array 'labels'; it must hold images \(or features\) and labels"),
        ({"images": None}, "no array 'images'"),
        ({"test_images": GREY}, "no array 'test_labels'"),
        ({"images": GREY.astype(np.float32)}, r"must be uint8 .* got float32 \[6, 4, 5\]"),
        ({"images": GREY[:, 0]}, r"must be uint8 \[n, h, w\] or .* got uint8 \[6, 5\]"),
        (
            {"images": np.zeros((6, 3), int)},
            r"for embeddings, floating \[n, d\]; got int64 \[6, 3\]",
        ),
        ({"images": np.zeros((6, 0))}, r"got float64 \[6, 0\]"),
        ({"images": np.diag([1, 1, np.nan, 1, np.inf, 1])}, "not finite .* the first in row 2"),
        ({"images": np.full((6, 2), 1e39)}, "not finite in float32, the first in row 0"),
        ({"features": np.zeros((6, 3))}, "holds both images and features; keep one"),
        (
            {"test_features": np.zeros((6, 3)), "test_labels": LABELS},
            "test_features holds embeddings of 3 numbers, but images holds images of 4 x 5 x 1",
        ),
        ({"images": GREY[:0], "labels": LABELS[:0]}, "images must be uint8"),
        ({"images": np.zeros((6, 3, 8, 8), np.uint8)}, r"save images\.transpose\(0, 2, 3, 1\)"),
        ({"images": np.array([GREY, None], object)}, "images cannot be loaded .* Python objects"),
        ({"labels": np.array([*"abcdef"], object)}, "labels cannot be loaded .* Python objects"),
        ({"labels": LABELS[1:]}, r"one for each of the 6 images, got int64 \[5\]"),
        ({"labels": LABELS.astype(float)}, "labels must be integers"),
        ({"labels": np.eye(6, dtype=int)}, "labels must be integers"),
        ({"labels": LABELS - 1}, "labels holds -1; number the classes from 0"),
        ({"labels": LABELS * 2}, "no training image has the label 1"),
        (
            {"test_images": GREY[:1, :3], "test_labels": LABELS[:1]},
            "test images are 3 x 5 x 1 .* training images are 4 x 5 x 1",
        ),
        (
            {"test_images": GREY[:1], "test_labels": [3]},
            "label 3 of split test is not one of the 3",
        ),
    ],
)
def test_unusable(tmp_path, changes, words):
    whole = {"images": GREY, "labels": LABELS} | changes
    with pytest.raises(UserError, match=words) as caught:
        _load(tmp_path, **{key: value for key, value in whole.items() if value is not None})
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_none(tmp_path):
    path = tmp_path / "own.npz"
    with pytest.raises(UserError, match="there is no file"):
        images.load(str(path))
    np.save(tmp_path / "own.npy", GREY)
    (tmp_path / "own.npy").rename(path)
    with pytest.raises(UserError, match=r"is not an \.npz file; write it with numpy"):
        images.load(str(path))
    np.savez_compressed(path, images=GREY, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[150:180] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        images.load(str(path))


def test_limit_of_memory_before_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 100)
    with pytest.raises(UserError, match=r"own\.npz: images: the images take"):
        _load(tmp_path, images=GREY, labels=LABELS)
