"""Image and text encoders: infojax's CLIP with weights from a file, or an open_clip model."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image

from infojax.data import few_shot, image_text
from infojax.errors import UserError
from infojax.models.clip import CLIP
from infojax.training import storage

_BATCH = 64  # images or texts at a time


class Encoder(NamedTuple):
    """Functions that encode images and texts in batches.

    Attributes:
      prepare: image to array of pixels.
      images: pixels [n, ...] to features [n, D].
      texts: n texts to features [n, D].
    """

    prepare: Callable[[Image.Image], np.ndarray]
    images: Callable[[np.ndarray], np.ndarray]
    texts: Callable[[list[str]], np.ndarray]


def of_clip(model: CLIP, params: Any) -> Encoder:
    """Returns an encoder that runs infojax's CLIP."""
    encode = jax.jit(model.apply, static_argnames="method")
    variables, a = {"params": params}, model.architecture

    def images(pixels):
        return np.asarray(encode(variables, pixels, method="encode_image"))

    def texts(texts):
        tokens = image_text.tokenize(texts, a.context_length)
        return np.asarray(encode(variables, tokens, method="encode_text"))

    return Encoder(lambda image: image_text.preprocess(image, a.image_size), images, texts)


def of_open_clip(name: str, pretrained: str) -> Encoder:
    """Returns an encoder that runs an open_clip model.

    Args:
      name: of the model, for example `ViT-B-32`.
      pretrained: an open_clip tag, or a file of weights.

    Raises:
      UserError: open_clip is not installed, or has no such model or weights.
    """
    try:
        import open_clip
        import torch
    except ImportError as error:
        raise UserError(
            "open_clip models need: pip install open_clip_torch (or use --checkpoint)"
        ) from error
    try:
        model, _, transform = open_clip.create_model_and_transforms(name, pretrained=pretrained)
    except Exception as error:  # unknown model, missing weights, no network
        reason = str(error).splitlines()[0]
        raise UserError(f"open_clip cannot load {name} with {pretrained}: {reason}") from error
    model, tokenizer = model.eval(), open_clip.get_tokenizer(name)

    @torch.no_grad()
    def images(pixels):
        return model.encode_image(torch.from_numpy(pixels)).float().numpy()

    @torch.no_grad()
    def texts(texts):
        return model.encode_text(tokenizer(texts)).float().numpy()

    return Encoder(lambda image: transform(image).numpy(), images, texts)


def write_features(
    path: Path,
    encoder: Encoder,
    images: Sequence[Path | Image.Image],
    labels: np.ndarray,
    class_names: Sequence[str],
    prefixes: Sequence[str],
    train_fraction: float,
    seed: int,
) -> None:
    """Writes features of images and of texts `prefix class name`; `few_shot.load` reads them.

    Args:
      path: of the .npz file.
      encoder: for images and texts.
      images: N files or images.
      labels: class labels, integer [N].
      class_names: C names.
      prefixes: of the prompts.
      train_fraction: see `few_shot.split`.
      seed: of the split.

    Raises:
      UserError: a file cannot be read as an image, or the images cannot be split.
    """
    train, test = few_shot.split(labels, train_fraction, seed)
    texts = [f"{prefix} {name}" for prefix in prefixes for name in class_names]
    prompts = _encode_texts(encoder, texts).reshape(len(prefixes), len(class_names), -1)
    arrays = {
        "image_features": _encode_images(encoder, images),
        "labels": labels,
        "text_features": prompts,
        "text_features_mean": _normalised(np.mean(prompts, 0)),
        "prompts": np.array(prefixes),
        "class_names": np.array(class_names),
        "train_idx": train,
        "test_idx": test,
    }
    partial = path.with_suffix(".partial")
    with storage.writing(path):
        with partial.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        os.replace(partial, path)


def _encode_images(encoder: Encoder, images: Sequence[Path | Image.Image]) -> np.ndarray:
    features = []
    for i in range(0, len(images), _BATCH):
        opened = (
            image_text.read_image(image) if isinstance(image, Path) else image
            for image in images[i : i + _BATCH]
        )
        features.append(encoder.images(np.stack([encoder.prepare(image) for image in opened])))
    return _normalised(np.concatenate(features))


def _encode_texts(encoder: Encoder, texts: list[str]) -> np.ndarray:
    batches = [encoder.texts(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
    return _normalised(np.concatenate(batches))


def _normalised(features: np.ndarray) -> np.ndarray:
    return features / np.linalg.norm(features, axis=1, keepdims=True)
