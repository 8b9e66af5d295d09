"""CIFAR in parts small enough to be brought one by one: packed files, checked and unpacked.

A part is a NumPy archive of encoded images, compressed together: files of a few hundred bytes share
much of their headers. `manifest.json`, which comes with every part, names all parts.
"""

import hashlib
import io
import json
import lzma
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.accelerator.machine import MANIFEST, decoded, manifest_of
from infojax.data import channels, images
from infojax.data.stored import value_counts
from infojax.errors import UserError


class IncompleteError(UserError):
    """Parts of the data are not there yet."""


def digest(content: bytes | memoryview) -> str:
    """SHA-256 as hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_part(path: Path, files: Sequence[bytes], labels: np.ndarray) -> str:
    """Writes encoded images, each of a column of one or more, and the labels of all images.

    Returns:
      The checksum of the file.
    """
    lengths = np.array([len(file) for file in files], np.int64)
    solid = np.frombuffer(lzma.compress(b"".join(files), preset=6), np.uint8)
    buffer = io.BytesIO()
    np.savez(buffer, solid=solid, lengths=lengths, labels=labels.astype(np.int32))
    path.write_bytes(buffer.getvalue())
    return digest(buffer.getbuffer())


def unpack(source: Path, store: Path) -> dict[str, str]:
    """Decodes the parts that are there into a directory, where they stay for later calls.

    Args:
      source: directory with a manifest and some parts.
      store: directory of decoded parts.

    Returns:
      What each part that is missing or damaged lacks, by name; {} if all are decoded.
    """
    manifest = read_manifest(source, store)
    store.mkdir(parents=True, exist_ok=True)
    (store / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    lacking = {}
    for name, about in manifest["parts"].items():
        target = decoded(store, name, about)
        if target.exists():
            continue
        path = source / name
        if not path.exists():
            lacking[name] = "missing"
        elif digest(path.read_bytes()) != about["sha256"]:
            lacking[name] = "damaged: its checksum is not the manifest's"
        else:
            _decode(path, about, manifest["shape"], target)
    return lacking


def read_manifest(*places: Path) -> dict[str, Any]:
    """Returns the manifest of the first directory that has an intact one.

    Raises:
      IncompleteError: none has.
    """
    found = manifest_of(*places)
    if found is None:
        raise IncompleteError(
            f"there is no intact {MANIFEST} in {places[0]}; pack a data set with "
            f"python -m benchmarks.accelerator.pack --out={places[0]}"
        )
    return found


def load(source: Path, store: Path) -> images.ImageData:
    """Returns the whole data set, from parts of this call and of earlier ones.

    Raises:
      IncompleteError: parts are missing or damaged; names them.
    """
    lacking = unpack(source, store)
    if lacking:
        said = ", ".join(f"{name} ({why})" for name, why in lacking.items())
        raise IncompleteError(f"data in {source}: {said}; bring them, in one call or in several")
    manifest = read_manifest(store)
    parts = [np.load(decoded(store, *named)) for named in manifest["parts"].items()]
    x = np.concatenate([part["images"] for part in parts])
    y = np.concatenate([part["labels"] for part in parts])
    n = manifest["train"]
    train, test = images.Split(x[:n], y[:n]), images.Split(x[n:], y[n:])
    moments = channels.of_counts(value_counts(x[:n]))
    name = manifest["dataset"]
    return images.checked(name, train, test, moments, manifest["num_classes"], 0)


def _decode(path: Path, about: dict[str, Any], shape: Sequence[int], target: Path) -> None:
    with np.load(path) as part:
        solid = lzma.decompress(part["solid"].tobytes())
        ends, labels = np.cumsum(part["lengths"]), part["labels"]
        files = [solid[end - size : end] for end, size in zip(ends, part["lengths"], strict=True)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        pixels = np.concatenate(list(pool.map(lambda file: pixels_of(file, shape), files)))
    if digest(pixels.data) != about["pixels_sha256"]:
        raise UserError(
            f"{path} is decoded to other pixels here than where it was packed; pack it with "
            "--lossless, which no decoder reads differently"
        )
    partial = target.with_suffix(".partial.npz")
    np.savez(partial, images=pixels, labels=labels)
    partial.replace(target)


def pixels_of(file: bytes, shape: Sequence[int]) -> np.ndarray:
    """Decodes a column of images, uint8 [k, h, w, channels]."""
    return np.asarray(Image.open(io.BytesIO(file))).reshape(-1, *shape)
