"""Reads runs of image classification: their data and network, without training."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from infojax.data import disk, images
from infojax.data.stored import StoredImages
from infojax.errors import UserError
from infojax.training import processes, storage
from launch import classification, networks
from launch.trained import Network, Trained

_FILE = "data.json"


def describe(data: images.ImageData, directory: Path) -> None:
    """Writes what a network depends on: shape of the images, number of classes, moments.

    With these, a trained network can be read where its data are missing.

    Raises:
      UserError: the directory holds checkpoints of a run on other images.
    """
    processes.from_first(lambda: _write(data, directory))


def same_images(data: images.ImageData, directory: Path) -> bool:
    """Whether a directory describes images like these, or none."""
    path = directory / _FILE
    if not path.exists():
        return True
    earlier = _read(path)
    return all(_close(earlier[name], value) for name, value in _description(data).items())


def _description(data: images.ImageData) -> dict[str, Any]:
    return {
        "image_shape": list(data.train.images.shape[1:]),
        "num_classes": data.num_classes,
        "embeddings": data.of_embeddings,
        "mean": data.mean.tolist(),
        "std": data.std.tolist(),
    }


def _write(data: images.ImageData, directory: Path) -> None:
    if any(directory.rglob("checkpoints/[0-9]*")) and not same_images(data, directory):
        raise UserError(
            f"the images have changed since the run in {directory} began: restore them, or use "
            "another --workdir"
        )
    with storage.writing(directory):
        directory.mkdir(parents=True, exist_ok=True)
    storage.write_json(directory / _FILE, _description(data))


def _read(path: Path) -> dict[str, Any]:
    content = {"embeddings": False} | (storage.read_object(path) or {})  # which older runs lack
    try:
        for name in ("image_shape", "num_classes", "embeddings", "mean", "std"):
            if not np.all(np.isfinite(np.array(content[name], np.float64))):
                raise ValueError(name)
            np.isfinite(content[name])  # which strings of digits are not
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path} is damaged: restore it, or remove it; without it, changed images go unnoticed"
        ) from error
    return content


def _close(x: Any, y: Any) -> bool:
    return np.shape(x) == np.shape(y) and np.allclose(x, y)


def read_network(config: ConfigDict, directory: Path) -> Network:
    """Returns the network that a config trains, as found in the directory of a seed."""
    data = _described(config, directory)
    shape = data.train.images.shape[1:]
    model = networks.make_model(config, shape, data.num_classes)
    example = jax.ShapeDtypeStruct((1, *shape), np.float32)
    return Network(
        model,
        jax.eval_shape(model.init, jax.random.key(0), example),
        classification.make_forward(model, data),
        model.head_of,
        tuple(shape),
        functools.partial(_check, shape, np.float32 if data.of_embeddings else np.uint8),
        config.eval_batch_size,
        lambda seed: classification.load_data(config),
    )


def _described(config: ConfigDict, directory: Path) -> images.ImageData:
    """The data set without its images; for runs older than the description, the data set itself."""
    path = directory / _FILE
    if not path.exists():
        return classification.load_data(config)
    content = _read(path)
    mean, std = (np.array(content[name], np.float32) for name in ("mean", "std"))
    dtype = np.float32 if content["embeddings"] else np.uint8
    empty = images.Split(np.zeros((0, *content["image_shape"]), dtype), np.zeros(0, np.int32))
    return images.ImageData(empty, empty, content["num_classes"], mean, std)


def _check(shape: Sequence[int], dtype: Any, inputs: Any) -> np.ndarray | StoredImages:
    if isinstance(inputs, StoredImages):
        return inputs
    x = np.asarray(inputs)
    if x.dtype != dtype or x.shape[1:] != tuple(shape) or not len(x):
        size, name = ", ".join(map(str, shape)), np.dtype(dtype).name
        raise UserError(f"images must be {name} [n, {size}], n > 0; got {x.dtype} {x.shape}")
    return x


def splits(config: ConfigDict) -> dict[str, images.Split]:
    """Returns the splits of a run's own data by name: train, and validation or test, or both."""
    data = _load(config, config.dataset, config.data_dir)
    part = images.subset(data, config.train_size, config.validation_fraction)
    found = {"train": part.train, "test": data.test}
    if config.validation_fraction:
        found["validation"] = part.test
    return {name: split for name, split in found.items() if len(split.labels)}


def other_splits(run: Trained, dataset: str, data_dir: str) -> dict[str, images.Split]:
    """Returns the splits of another data set by name.

    Args:
      run: the run whose network takes the images.
      dataset: as `config.dataset`.
      data_dir: as `config.data_dir`.

    Raises:
      UserError: it cannot be loaded, or differs from the run's data in classes or shape.
    """
    data, num_classes = _load(run.config, dataset, data_dir), len(run.head[0])
    if data.num_classes != num_classes:
        raise UserError(
            f"{dataset} has {data.num_classes} classes, but the network was trained on "
            f"{num_classes}"
        )
    shapes = data.train.images.shape[1:], run.network.input_shape
    if shapes[0] != shapes[1]:
        found, expected = (" x ".join(map(str, shape)) for shape in shapes)
        raise UserError(
            f"images of {dataset} are {found} (height x width x channels), but the network was "
            f"trained on {expected}"
        )
    return {name: s for name, s in (("train", data.train), ("test", data.test)) if len(s.labels)}


def _load(config: ConfigDict, dataset: str, data_dir: str) -> images.ImageData:
    load = disk.load if config.stream else images.load
    return load(dataset, data_dir, config.image_size)
