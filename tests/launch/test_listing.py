"""The list of configs: what they take and show, and whether their data are found."""

import re

import numpy as np
import pytest
from ml_collections import ConfigDict

from launch import config_files, listing
from tests.launch.launcher import ROOT

NEEDS = [
    (dict(dataset="digits", data_dir=""), "digits", True),
    (dict(dataset="cifar10", data_dir=""), "cifar10", False),
    (dict(features=("a", "b"), data_dir="."), "features", False),
    (dict(checkpoint="", dataset="directory", data_dir="images"), "CLIP weights", False),
    (dict(checkpoint="random", dataset="digits", data_dir=""), "digits", True),
    (dict(run="runs/cifar10"), "a finished run", False),
]


@pytest.fixture(autouse=True)
def _nothing_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", "tfds")


@pytest.mark.parametrize(("fields", "name", "found"), NEEDS)
def test_needs(fields, name, found):
    need = listing.of(ConfigDict(fields))
    assert (need.name, need.found) == (name, found)


def test_no_data():
    assert listing.of(ConfigDict(dict(modulus=113))) is None


def test_found(tmp_path):
    for fields, files in (
        (NEEDS[1][0], ["tfds/cifar10/3.0.2/dataset_info.json"]),
        (NEEDS[2][0], ["a.npz", "b.npz"]),
        (NEEDS[3][0] | {"checkpoint": "clip.pt"}, ["clip.pt", "images/class/1.png"]),
        (NEEDS[5][0], ["runs/cifar10/config.json"]),
    ):
        for file in files:
            assert not listing.of(ConfigDict(fields)).found
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        assert listing.of(ConfigDict(fields)).found


def test_text(tmp_path):
    """Every config with its variants, a line each; and what to do about missing data."""
    lines = listing.text().splitlines()
    for name in config_files.names():
        title = next(i for i, line in enumerate(lines) if line.startswith(f"{name}: "))
        assert re.match(r"  cpu +.*(minutes|seconds)", lines[title + 1]), name
    assert sum(line.endswith("cifar10: MISSING") for line in lines) >= 5
    assert "cifar10: not in tfds; docs/data.md says how to get it." in lines
    assert any("INFOJAX_CROSSMODAL_DIR" in line for line in lines)
    sets = {"cifar10", "cifar100", "stl10"}
    assert set(listing.missing()) == sets | {"features", "CLIP weights", "a finished run"}


def test_the_list_is_whole():
    """Docstrings describe all variants, in sentences that fit the list."""
    for name in config_files.names():
        path = ROOT / "configs" / f"{name}.py"
        _, variants = config_files.describe(path)
        for variant, text in variants.items():
            first = listing.first_sentence(text)
            assert len(first) <= listing.ABOUT, (name, variant, first)
        with pytest.raises(Exception, match="unknown variant") as caught:
            config_files.load(path, "xyz")
        known = re.findall(r"[\w-]+", str(caught.value).partition("use ")[2].replace(" or ", " "))
        assert set(known) - set(variants) <= {f"{v}-grid" for v in variants}, name


def test_prepared_data_sets(tmp_path):
    from infojax.data import available

    for path in ("mnist/3.0.1", "digits/own/1.0.0", "downloads/x"):
        (tmp_path / "tfds" / path).mkdir(parents=True)
    assert available.prepared(tmp_path / "tfds") == []
    for path in ("mnist/3.0.1", "digits/own/1.0.0"):
        (tmp_path / "tfds" / path / "dataset_info.json").touch()
    assert available.prepared(available.tfds_directory()) == ["digits", "mnist"]
    assert available.found("mnist") and not available.found("mnist", str(tmp_path))
    np.savez(tmp_path / "own.npz", images=[])
    assert available.found("own.npz") and not available.found("other.npz")
    assert available.found(str(tmp_path)) and not available.found("./nowhere")
    assert available.found(f"hf:{tmp_path}") and not available.found("hf:mnist")
