"""Data of one's own through the command line: a directory of images, and an .npz file."""

import json

import numpy as np
import pytest

from infojax.models.classifier import of_linen
from infojax.models.mlp import MLP
from infojax.training import read_records
from tests.data import pictures
from tests.launch.launcher import Launcher, assert_refused

SMALL = (
    "--config.num_steps=4", "--config.train_size=0", "--config.batch_size=8",
    "--config.eval_batch_size=8", "--config.metric_batch_sizes=(4,)",
    "--config.population_splits=('test',)",
)  # fmt: skip
SMOKE = "--config=configs/cifar10.py:smoke"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("launcher"), "configs/cifar10.py:smoke")


def _last(workdir, name):
    return read_records(workdir)[-1][name]


def test_directory(smoke, tmp_path):
    """Grey images of 28 x 28 are resized, and a second run reads the cache."""
    photos = tmp_path / "photos"
    pictures.tree(photos, ("a", "b"), (), size=(28, 28), train=12, test=4)
    arguments = (*SMALL, f"--config.dataset={photos}", "--config.image_size=14")
    code, _, first = smoke.run(tmp_path / "run", *arguments)
    assert (code, first) == (0, "")
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["dataset"] == str(photos) and config["image_size"] == 14
    code, _, second = smoke.run(tmp_path / "again", *arguments)
    assert code == 0 and second.startswith(f"{photos}: images from the cache ")
    assert second.count("\n") == 1
    losses = [_last(tmp_path / run, "test/loss") for run in ("run", "again")]
    assert losses[0] == losses[1] > 0


def test_npz(smoke, tmp_path):
    """Colour images of 28 x 28, without a test split: the validation images take its place."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (40, 28, 28, 3), np.uint8), np.arange(40) // 20
    np.savez(tmp_path / "own.npz", images=images, labels=labels)
    code, _, error = smoke.run(
        tmp_path / "run",
        *SMALL,
        f"--config.dataset={tmp_path / 'own.npz'}",
        "--config.validation_fraction=0.2",
    )
    assert (code, error) == (0, "") and _last(tmp_path / "run", "validation/loss") > 0
    assert 0 < _last(tmp_path / "run", "validation/population_mir") < 1


def test_refused(main, tmp_path, monkeypatch):
    """One line before training starts."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    pictures.tree(tmp_path, ("a", "b"), photos=4)

    def refused(*arguments):
        photos = f"--config.dataset={tmp_path / 'photos'}"
        return main(SMOKE, *SMALL, photos, *arguments, checked_stdout=False)

    assert_refused(refused("--config.image_size=-1"), "image_size must be at least 0, got -1")
    assert_refused(refused("--config.image_size=0"), "no test images", "validation_fraction")
    (tmp_path / "photos" / "c").mkdir()
    assert_refused(refused("--config.image_size=0"), "photos/c holds no images")
    (tmp_path / "photos" / "c" / "note.png").write_text("no image")
    assert_refused(refused("--config.image_size=0"), "note.png is a broken image: replace or")
    pictures.save(tmp_path / "photos" / "c" / "note.png", np.zeros((7, 7, 3), np.uint8))
    assert_refused(refused("--config.image_size=0"), "note.png is 7 x 7, but others are 5 x 6")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("changes", "settings", "words"),
    [
        ({"labels": np.arange(24) % 3 * 2}, (), "no training image has the label 1"),
        ({"labels": np.array([None] * 24)}, (), "labels cannot be loaded"),
        ({"images": np.zeros((24, 9, 8), np.uint8)}, (), "test images are 8 x 8 x 1"),
        ({"labels": None}, (), "has no array 'labels'"),
        ({"labels": np.zeros(24, int), "test_labels": np.zeros(8, int)}, (), "of one class"),
        ({}, ("metric_batch_sizes=(16,)", "eval_batch_size=16"), "exceeds the 8 images"),
        ({}, ("crop_padding=8",), "must be below height and width of the images, 8 x 8"),
        ({}, ("model=tests.launch.test_data:no_head",), "the model has no head at 'nowhere'"),
        ({}, ("model=tests.launch.test_data:more_classes",), "floating [2, 3], got float32[2, 4]"),
    ],
)
def test_refused_arrays(main, tmp_path, changes, settings, words):
    """So are arrays that do not fit each other, the settings or the model."""
    whole = {"images": np.zeros((24, 8, 8), np.uint8), "labels": np.arange(24) % 3}
    whole |= {"test_images": np.zeros((8, 8, 8), np.uint8), "test_labels": np.arange(8) % 3}
    own = {name: array for name, array in (whole | changes).items() if array is not None}
    np.savez(tmp_path / "own.npz", **own)
    settings = [f"--config.{setting}" for setting in settings]
    result = main(
        SMOKE, *SMALL, f"--config.dataset={tmp_path / 'own.npz'}", *settings, checked_stdout=False
    )
    assert_refused(result, words)
    assert not (tmp_path / "run" / "checkpoints").exists()


def no_head(config, image_shape, num_classes):
    return of_linen(MLP(num_classes), head="nowhere")


def more_classes(config, image_shape, num_classes):
    return of_linen(MLP(num_classes + 1))
