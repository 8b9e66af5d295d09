"""Inputs of CLIP: tokens, preprocessed images, and images in one directory per class."""

import html
from pathlib import Path

import numpy as np
from PIL import Image

from infojax.errors import UserError

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
_ENDINGS = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


def tokenize(texts: list[str], context_length: int = 77) -> np.ndarray:
    """Tokenizes texts as the models of OpenAI and open_clip expect them.

    Args:
      texts: n texts.
      context_length: L; a longer text is truncated and still ends with the end token.

    Returns:
      Tokens int32 [n, L]: start, text, end, zeros.

    Raises:
      UserError: the package instant-clip-tokenizer is not installed.
    """
    try:
        from instant_clip_tokenizer import Tokenizer
    except ImportError as error:
        raise UserError(
            "texts need a tokenizer: pip install instant-clip-tokenizer (Python 3.11 or 3.12)"
        ) from error
    tokenizer = Tokenizer()
    tokens = np.zeros((len(texts), context_length), np.int32)
    for row, text in zip(tokens, texts, strict=True):
        text = " ".join(html.unescape(html.unescape(text)).split())
        inner = tokenizer.encode(text)[: context_length - 2]
        whole = [tokenizer.start_of_text(), *inner, tokenizer.end_of_text()]
        row[: len(whole)] = whole
    return tokens


def prompt_tokens(names: tuple[str, ...], num_context: int, context_length: int) -> np.ndarray:
    """Tokenizes `X … X name.`, with a placeholder X for each context vector.

    Args:
      names: names of the C classes.
      num_context: m, number of context vectors.
      context_length: largest number of tokens that the model takes.

    Returns:
      Tokens int32 [C, L], cut at the end of the longest prompt: a causal transformer's outputs do
      not depend on what follows.

    Raises:
      UserError: a prompt is longer than context_length.
    """
    texts = [f"{'x ' * num_context}{name}." for name in names]
    tokens = tokenize(texts, 2 * context_length)
    lengths = np.argmax(tokens, 1) + 1
    if np.max(lengths) > context_length:
        longest = names[int(np.argmax(lengths))]
        raise UserError(
            f"the prompt of class {longest!r} has {np.max(lengths)} tokens, more than the model's "
            f"{context_length}; use fewer context_tokens or a shorter name"
        )
    return tokens[:, : np.max(lengths)]


def preprocess(image: Image.Image, size: int) -> np.ndarray:
    """Resizes the shorter side (bicubic), crops the centre and normalises the channels.

    Args:
      image: image of any size and mode.
      size: height and width of the result.

    Returns:
      Pixels float32 [size, size, 3].
    """
    width, height = image.size
    short = min(width, height)
    width, height = int(size * width / short), int(size * height / short)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = round((width - size) / 2), round((height - size) / 2)
    image = image.crop((left, top, left + size, top + size)).convert("RGB")
    pixels = np.asarray(image, np.float32) / 255
    return (pixels - np.asarray(_MEAN, np.float32)) / np.asarray(_STD, np.float32)


def read_image(path: Path) -> Image.Image:
    """Reads an image file.

    Raises:
      UserError: Pillow cannot read the file.
    """
    try:
        with Image.open(path) as image:
            image.load()
            return image
    except OSError as error:
        raise UserError(f"{path} cannot be read as an image: {error}") from error


def find_images(directory: Path) -> tuple[list[Path], np.ndarray, tuple[str, ...]]:
    """Finds the images in a directory with one subdirectory per class.

    Args:
      directory: contains `CLASS NAME/any/depth/image.png`; underscores in names stand for spaces.

    Returns:
      Sorted paths, the class of each int32 [n], and the sorted class names.

    Raises:
      UserError: the directory has no subdirectories, or a class has no images.
    """
    classes = sorted(path for path in directory.glob("*") if path.is_dir())
    if not classes:
        raise UserError(f"{directory} must be a directory with one subdirectory per class")
    paths, labels = [], []
    for label, path in enumerate(classes):
        own = sorted(p for p in path.rglob("*") if p.suffix.lower() in _ENDINGS)
        if not own:
            raise UserError(f"{path} holds no images ({', '.join(sorted(_ENDINGS))})")
        paths += own
        labels += [label] * len(own)
    names = tuple(path.name.replace("_", " ") for path in classes)
    return paths, np.array(labels, np.int32), names
