"""Sets of the library `datasets`, written here: no network."""

import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from infojax.data import images
from infojax.errors import UserError
from tests.data import pictures

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (6, 4, 5, 3), np.uint8)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (None, r"pip install 'infojax\[hub\]'"),
        ("3.6.0", "need datasets 4 or newer: pip install -U"),
    ],
)
def test_library(monkeypatch, module, words):
    """Versions before 4 are refused: they can run code from a hub."""
    fake = module and SimpleNamespace(__version__=module)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    with pytest.raises(UserError, match=words):
        images.load("hf:mnist")


@pytest.fixture
def datasets(monkeypatch, tmp_path):
    """The library, without a network and with its cache in a temporary directory."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    library = pytest.importorskip("datasets")
    monkeypatch.setattr(library.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    monkeypatch.setattr(library.config, "HF_HUB_OFFLINE", True)
    library.disable_progress_bars()
    return library


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return {"bytes": file.getvalue(), "path": None}


def _rows(library, count, label, column="label", image="img", pixels=PIXELS, **more):
    columns = {image: [_png(x) for x in pixels[:count]], column: [i % 2 for i in range(count)]}
    features = {image: library.Image(), column: label}
    columns |= {key: values[:count] for key, (values, _) in more.items()}
    features |= {key: kind for key, (_, kind) in more.items()}
    return library.Dataset.from_dict(columns, features=library.Features(features))


def _load(directory, rows, **options):
    rows.save_to_disk(directory / "set")
    return images.load(f"hf:{directory / 'set'}", cache_dir=directory / "cache", **options)


@pytest.mark.parametrize("integers", [False, True])
def test_saved_splits(datasets, tmp_path, integers, capsys):
    """Labels are those of a ClassLabel, or integers; the second start reads the cache."""
    kind = datasets.Value("int64") if integers else datasets.ClassLabel(names=["b", "a"])
    splits = {split: _rows(datasets, n, kind) for split, n in (("train", 6), ("test", 4))}
    data = _load(tmp_path, datasets.DatasetDict(splits | {"other": splits["test"]}))
    label_of = {x.tobytes(): i % 2 for i, x in enumerate(PIXELS)}
    for split, n in ((data.train, 6), (data.test, 4)):
        assert [label_of[x.tobytes()] for x in split.images] == split.labels.tolist()
        assert {x.tobytes() for x in split.images} == {x.tobytes() for x in PIXELS[:n]}
    assert data.num_classes == 2
    assert capsys.readouterr().err == ""
    again = images.load(f"hf:{tmp_path / 'set'}", cache_dir=tmp_path / "cache")
    assert "images from the cache" in capsys.readouterr().err
    np.testing.assert_array_equal(again.train.images, data.train.images)


def test_one_saved_split_resized(datasets, tmp_path):
    """Columns named image and label are taken before others."""
    kind = datasets.ClassLabel(names=["a", "b"])
    rows = _rows(datasets, 6, kind, image="image", other=([0] * 6, kind))
    data = _load(tmp_path, rows, image_size=4)
    assert data.train.images.shape == (6, 4, 4, 3) and data.test.images.shape == (0, 4, 4, 3)
    assert sorted(data.train.labels) == [0, 0, 0, 1, 1, 1]


def test_a_directory_of_files(datasets, tmp_path):
    """Read as `load_dataset` does, from the files themselves."""
    pixels = pictures.tree(tmp_path / "files", ("a", "b"), train=3, test=2)
    data = images.load(f"hf:{tmp_path / 'files'}", cache_dir=tmp_path / "cache")
    for label in (0, 1):
        ours = data.test.images[data.test.labels == label]
        assert {x.tobytes() for x in ours} == {x.tobytes() for x in pixels["test"][label]}


def test_code_is_not_run(datasets, tmp_path):
    (tmp_path / "script").mkdir()
    ran = tmp_path / "ran"
    (tmp_path / "script" / "script.py").write_text(f"open({str(ran)!r}, 'w')")
    with pytest.raises(UserError, match="scripts are no longer supported"):
        images.load(f"hf:{tmp_path / 'script'}", cache_dir=tmp_path / "cache")
    assert not ran.exists()


def test_without_name(datasets):
    with pytest.raises(UserError, match=r"hf: names no data set; use hf:NAME"):
        images.load("hf:")


@pytest.mark.parametrize("name", ["hf:none/such", "hf:none:config", "hf:./nowhere"])
def test_unknown(datasets, name):
    with pytest.raises(UserError, match=r"cannot be loaded .*; use hf:NAME") as caught:
        images.load(name)
    assert str(caught.value).startswith(name) and "\n" not in str(caught.value)


def _named(library):
    return library.ClassLabel(names=["a", "b"])


def _splits(library, **splits):
    return library.DatasetDict(splits)


UNUSABLE = {
    "has no split 'train', but valid": lambda x: _splits(x, valid=_rows(x, 2, _named(x))),
    r"one column of type ClassLabel, or .* \(found: none\)": lambda x: _rows(
        x, 2, x.Value("float32")
    ),
    r"ClassLabel, .* 'label' \(found: fine, coarse\)": lambda x: _rows(
        x, 2, _named(x), "fine", coarse=([0, 1], _named(x))
    ),
    r"one column of type Image, .* \(found: none\)": lambda x: _rows(
        x, 2, _named(x)
    ).remove_columns("img"),
    "columns img and label of test differ from train's": lambda x: _splits(
        x, train=_rows(x, 2, _named(x)), test=_rows(x, 2, x.ClassLabel(names=["b", "a"]))
    ),
    "no training image has the label 0": lambda x: _rows(x, 4, _named(x)).filter(
        lambda row: row["label"] == 1
    ),
    "row 1 has no image": lambda x: x.Dataset.from_dict(
        {"img": [_png(PIXELS[0]), None], "label": [0, 1]},
        features=x.Features({"img": x.Image(), "label": _named(x)}),
    ),
    "the image of row 0 is a broken image": lambda x: x.Dataset.from_dict(
        {"img": [{"bytes": b"no image", "path": None}], "label": [0]},
        features=x.Features({"img": x.Image(), "label": _named(x)}),
    ),
    "lacks labels": lambda x: x.Dataset.from_dict(
        {"img": [_png(PIXELS[0])] * 2, "label": [0, None]},
        features=x.Features({"img": x.Image(), "label": _named(x)}),
    ),
}


@pytest.mark.parametrize("words", UNUSABLE)
def test_unusable(datasets, tmp_path, words):
    with pytest.raises(UserError, match=words) as caught:
        _load(tmp_path, UNUSABLE[words](datasets))
    assert "\n" not in str(caught.value)
