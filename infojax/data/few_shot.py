"""Few-shot data: features of images and texts from a file, draws of shots and of batches."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from infojax.errors import UserError

_LARGEST_VALIDATION = 4  # images per class
_NORM_TOLERANCE = 1e-2  # float16 features are off by up to 1e-3
_ARRAYS = {
    "image_features": 2,
    "labels": 1,
    "text_features": 3,
    "text_features_mean": 2,
    "class_names": 1,
    "train_idx": 1,
    "test_idx": 1,
}


class Features(NamedTuple):
    """Normalised features of an image-text model on one data set.

    Attributes:
      name: name of the file, without its suffix.
      images: image features, float32 [N, D].
      labels: class of each image, int32 [N].
      prompts: text feature of each prompt and class, float32 [P, C, D].
      texts: normalised mean text feature of each class, float32 [C, D].
      class_names: C names.
      train: images to draw shots from, int32 [n].
      test: images to test on, int32 [m].
    """

    name: str
    images: np.ndarray
    labels: np.ndarray
    prompts: np.ndarray
    texts: np.ndarray
    class_names: tuple[str, ...]
    train: np.ndarray
    test: np.ndarray


class Shots(NamedTuple):
    """Images drawn for training and for validation, indices int32 [C k] and [C min(k, 4)]."""

    train: np.ndarray
    validation: np.ndarray


def load(directory: Path, name: str) -> Features:
    """Reads `directory/name.npz`.

    Arrays: `image_features` [N, D], `labels` [N], `text_features` [P, C, D], `text_features_mean`
    [C, D], `class_names` [C], `train_idx` [n] and `test_idx` [m]; features are L2-normalised.

    Raises:
      UserError: the file does not exist, or does not have this form.
    """
    path = directory / f"{name}.npz"
    if not path.exists():
        raise UserError(
            f"there are no features at {path}: set --config.data_dir (or INFOJAX_CROSSMODAL_DIR) "
            "to the directory of the .npz files, or write them with "
            "python -m launch.extract_features"
        )
    try:
        with path.open("rb") as stream, np.load(stream) as file:
            arrays = {key: file[key] for key in _ARRAYS if key in file.files}
    except Exception as error:  # NumPy raises many types for a damaged archive
        raise UserError(f"{path} cannot be read as .npz ({error})") from error
    _check(path, arrays)
    wide = {k: np.asarray(v, np.float32) for k, v in arrays.items() if "features" in k}
    whole = {k: arrays[k].astype(np.int32) for k in ("labels", "train_idx", "test_idx")}
    return Features(
        name,
        wide["image_features"],
        whole["labels"],
        wide["text_features"],
        wide["text_features_mean"],
        tuple(map(str, arrays["class_names"])),
        whole["train_idx"],
        whole["test_idx"],
    )


def split(labels: np.ndarray, train_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits the images of each class at random: a part to draw shots from, the rest for testing.

    Args:
      labels: class of each image, integer [N].
      train_fraction: share of the first part in each class, in (0, 1); both parts get at least one
        image.
      seed: seed of the split.

    Returns:
      Indices int32 of both parts, ascending.

    Raises:
      UserError: the fraction is not in (0, 1), or a class has a single image.
    """
    if not 0 < train_fraction < 1:
        raise UserError(f"train_fraction must lie strictly between 0 and 1, got {train_fraction}")
    rng = np.random.default_rng(seed)
    train = []
    for c in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == c))
        if len(own) < 2:
            raise UserError(f"class {c} has a single image; at least two are needed")
        train.append(own[: np.clip(round(train_fraction * len(own)), 1, len(own) - 1)])
    chosen = np.sort(np.concatenate(train)).astype(np.int32)
    return chosen, np.setdiff1d(np.arange(len(labels)), chosen).astype(np.int32)


def draw_shots(features: Features, shots: int, seed: int) -> Shots:
    """Draws k images of each class for training, and others for validation.

    With the same seed, a smaller draw is a subset of a larger one.

    Args:
      features: the data set; only images of `features.train` are drawn.
      shots: training images per class, k; min(k, 4) more are drawn for validation.
      seed: seed of the draw.

    Returns:
      The images drawn, ordered by class.

    Raises:
      UserError: a class has too few images.
    """
    num_validation = min(shots, _LARGEST_VALIDATION)
    rng = np.random.default_rng(seed)
    train, validation = [], []
    for c, class_name in enumerate(features.class_names):
        own = rng.permutation(features.train[features.labels[features.train] == c])
        if len(own) < shots + num_validation:
            raise UserError(
                f"{features.name}: class {class_name!r} has {len(own)} training images, fewer "
                f"than {shots} shots and {num_validation} for validation; use fewer shots"
            )
        train.append(own[:shots])
        validation.append(own[len(own) - num_validation :])
    return Shots(np.concatenate(train), np.concatenate(validation))


def draw_batches(items: np.ndarray, num_steps: int, batch_size: int, seed: int) -> np.ndarray:
    """Draws a batch for every step: shuffled epochs, each without its incomplete last batch.

    Args:
      items: indices to draw from, integer [n].
      num_steps: number of batches.
      batch_size: size of a batch; if n is smaller, each batch holds all items and is padded.
      seed: seed of the order.

    Returns:
      Items int32 [num_steps, batch_size], -1 for padding.
    """
    rng = np.random.default_rng(seed)
    size = min(batch_size, len(items))
    per_epoch = len(items) // size
    epochs = np.tile(items, (-(-num_steps // per_epoch), 1))
    batches = rng.permuted(epochs, axis=1)[:, : per_epoch * size].reshape(-1, size)[:num_steps]
    padding = np.full((num_steps, batch_size - size), -1)
    return np.concatenate([batches, padding], 1).astype(np.int32)


def _check(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for key, ndim in _ARRAYS.items():
        if key not in arrays:
            raise UserError(f"{path} has no array {key!r}; it must have {', '.join(_ARRAYS)}")
        if arrays[key].ndim != ndim or 0 in arrays[key].shape:
            raise UserError(
                f"{path}: {key} must be a non-empty array of {ndim} dimensions, got shape "
                f"{arrays[key].shape}"
            )
    _check_shapes(path, arrays)
    for key in ("image_features", "text_features", "text_features_mean"):
        norms = np.linalg.norm(arrays[key].astype(np.float32), axis=-1)
        worst = norms.flat[np.argmax(np.abs(norms - 1))]  # argmax finds a NaN first
        if not abs(worst - 1) <= _NORM_TOLERANCE:
            raise UserError(
                f"{path}: {key} must be normalised to length 1, but one has length {worst:.3g}; "
                "divide each by its L2 norm"
            )


def _check_shapes(path: Path, arrays: dict[str, np.ndarray]) -> None:
    num_images, d = arrays["image_features"].shape
    num_classes = len(arrays["class_names"])
    for key in ("text_features", "text_features_mean"):
        if arrays[key].shape[-1] != d:
            raise UserError(
                f"{path}: image_features have dimension {d}, {key} {arrays[key].shape[-1]}; "
                "they must come from the same model"
            )
        if arrays[key].shape[-2] != num_classes:
            raise UserError(
                f"{path}: {key} have {arrays[key].shape[-2]} classes, but class_names has "
                f"{num_classes}"
            )
    if len(arrays["labels"]) != num_images:
        raise UserError(f"{path}: {len(arrays['labels'])} labels for {num_images} image_features")
    for key, size in (("labels", num_classes), ("train_idx", num_images), ("test_idx", num_images)):
        values = arrays[key]
        if not np.issubdtype(values.dtype, np.integer):
            raise UserError(f"{path}: {key} must be integers, got {values.dtype}")
        outside = values[(values < 0) | (values >= size)]
        if len(outside) and key == "labels":
            raise UserError(f"{path}: label {outside[0]} has no text: there are {size} classes")
        if len(outside):
            raise UserError(f"{path}: {key} holds {outside[0]}, but there are {size} images")
    shared = np.intersect1d(arrays["train_idx"], arrays["test_idx"])
    if len(shared):
        raise UserError(f"{path}: image {shared[0]} is in both train_idx and test_idx")
