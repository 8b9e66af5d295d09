"""Embeddings from an .npz file, through the command line."""

import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from configs import cifar10, semisupervised
from infojax.data import images
from infojax.errors import UserError
from infojax.training import checkpoint, read_records
from launch import classification, runs, updates
from launch.experiments import semisupervised as few_labels
from tests.launch.launcher import assert_refused, run_here

SMOKE = "configs/cifar10.py:smoke"
FITTING = {"model": "mlp", "crop_padding": 0, "flip": False}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """300 training and 100 test rows of three classes of unequal size; one number is constant."""
    rng = np.random.default_rng(0)
    labels = rng.choice(3, 400, p=[0.6, 0.3, 0.1])
    x = 1e3 + 5 * (rng.standard_normal((3, 12))[labels] + rng.standard_normal((400, 12)))
    x[:, 7] = 0.3
    splits = {"features": x[:300], "labels": labels[:300]}
    splits |= {"test_features": x[300:], "test_labels": labels[300:]}
    path = tmp_path_factory.mktemp("own") / "own.npz"
    np.savez(path, **splits)
    return path


def test_metrics_are_those_of_the_trained_network(own, tmp_path):
    """Recomputed in NumPy from the file and the newest checkpoint."""
    changes = {"dataset": own, "train_size": 0, "num_steps": 24, "eval_every": 24, "ema_decay": 0}
    changes |= {"mlp_width": 16, "checkpoint_every": 24, "population_splits": "('test',)"}
    workdir = run_here(tmp_path / "run", SMOKE, FITTING | changes)
    record = read_records(workdir)[-1]
    params = checkpoint.load(workdir / "checkpoints")[1]["params"]
    with np.load(own) as file:
        x, train = file["test_features"], file["features"]
        y = file["test_labels"].astype(np.int32)
    std = np.where(np.arange(12) == 7, 1, train.std(0))
    z = (x - train.mean(0)) / std
    for i in range(2):
        dense, norm = params[f"dense{i}"], params[f"norm{i}"]
        z = z @ dense["kernel"] + dense["bias"]
        z = (z - z.mean(1, keepdims=True)) / np.sqrt(z.var(1, keepdims=True) + 1e-6)
        z = np.maximum(z * norm["scale"] + norm["bias"], 0)
    head = params["head"]
    accuracy = np.mean(np.argmax(z @ head["kernel"] + head["bias"], 1) == y)
    assert record["test/accuracy"] == pytest.approx(accuracy) and accuracy > 0.7
    whole = infojax.sample_interplay(jnp.float32(z), jnp.asarray(y), jnp.asarray(head["kernel"].T))
    assert record["test/population_mir"] == pytest.approx(float(whole.mir), rel=1e-4)
    assert record["test/population_hdr"] == pytest.approx(float(whole.hdr), rel=1e-3)
    read = runs.load(workdir)
    of_file = read.features(x.astype(np.float32).reshape(-1, 1, 1, 12))[0]
    np.testing.assert_allclose(of_file, z, atol=1e-4)
    with pytest.raises(UserError, match="must be float32"):
        read.features(np.zeros((2, 1, 1, 12), np.uint8))


def test_settings_of_images_are_refused(own, main):
    """In one line that names all flags to set."""
    refused = lambda *more: main(  # noqa: E731
        f"--config={SMOKE}", f"--config.dataset={own}", *more, checked_stdout=False
    )
    assert_refused(
        refused("--config.train_size=0", "--config.flip=True"),
        "own.npz holds embeddings of 12 numbers, not images: set --config.model=mlp "
        "--config.crop_padding=0 --config.flip=False",
    )
    fitting = [f"--config.{name}={value}" for name, value in FITTING.items()]
    assert_refused(refused(*fitting, "--config.stream=True"), "not streamed: set stream = False")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "vit", "crop_padding": 0}, "set --config.model=mlp$"),
        ({"model": "my_models:mine", "crop_padding": 2}, "set --config.crop_padding=0$"),
    ],
)
def test_only_what_does_not_fit_is_named(own, changes, words):
    config = cifar10.get_config("smoke")
    config.update({"dataset": str(own), "train_size": 0} | changes)
    with pytest.raises(UserError, match=words):
        updates.check_inputs(config, classification.load_data(config))


def test_shifts_are_smaller_than_the_images():
    config, data = cifar10.get_config("smoke"), images.load("digits")
    config.crop_padding = 7
    updates.check_inputs(config, data)
    config.crop_padding = 8
    with pytest.raises(UserError, match=r"crop_padding = 8 must be below .* images, 8 x 8"):
        updates.check_inputs(config, data)


def test_one_class(tmp_path):
    np.savez(tmp_path / "own.npz", features=np.ones((4, 3)), labels=np.zeros(4, int))
    config = cifar10.get_config("smoke")
    config.dataset = str(tmp_path / "own.npz")
    with pytest.raises(UserError, match=r"own\.npz are of one class; at least 2 are needed"):
        updates.check_inputs(config, images.load(config.dataset))


def test_strong_augmentation_needs_images(own):
    config = semisupervised.get_config("smoke")
    config.update({"dataset": str(own), "train_size": 0, "num_labels": 30, **FITTING})
    with pytest.raises(UserError, match=r"method = 'freematch' augments images, but .*own\.npz"):
        few_labels.build(config)
    config.method = "supervised"
    program = few_labels.build(config)
    assert program.pool[0].dtype == np.float32


def test_standardised(own):
    data = images.load(str(own))
    x = np.asarray(updates.standardise(data, jnp.asarray(data.train.images)))[:, 0, 0]
    np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(x.std(0), np.arange(12) != 7, atol=1e-5)
