"""Packs a TFDS image set into parts: `python -m benchmarks.accelerator.pack --out=DIR`.

Images that are stored as JPEG files stay those files; others are encoded as lossless WebP.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.accelerator import data
from benchmarks.accelerator.machine import MANIFEST
from infojax.data import tfds
from infojax.errors import UserError

_JPEG = b"\xff\xd8\xff"
_COLUMN = 100  # images in a column of lossless WebP
_READ_AT_ONCE = 2000


class Encoded(NamedTuple):
    """Encoded images in order.

    Attributes:
      files: each of a column of `per_file` images, the last of fewer.
      labels: int32 [n].
      per_file: images in a file.
      shape: height, width and channels.
    """

    files: Sequence[bytes]
    labels: np.ndarray
    per_file: int
    shape: tuple[int, int, int]


def main() -> None:
    """Writes the parts and their manifest."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", default="cifar10", help="an image set of TFDS")
    parser.add_argument("--data_dir", default="", help="of TFDS; TFDS_DATA_DIR if left out")
    parser.add_argument("--out", type=Path, required=True, help="directory of the parts")
    parser.add_argument("--part_mib", type=float, default=56.0, help="largest size of a part")
    parser.add_argument("--lossless", action="store_true", help="WebP also of JPEG files")
    options = parser.parse_args()
    try:
        builder = tfds.builder(options.dataset, options.data_dir)
        classes = tfds.num_classes(options.dataset, builder)
        splits = [read(builder, split, options.lossless) for split in ("train", "test")]
        about = {"dataset": options.dataset, "num_classes": classes}
        pack(options.out, splits, about, int(options.part_mib * 2**20))
    except UserError as error:
        sys.exit(str(error))


def read(builder, split: str, lossless: bool) -> Encoded:
    """Reads a split of TFDS."""
    import tensorflow_datasets

    skip = {"image": tensorflow_datasets.decode.SkipDecoding()}
    source = builder.as_data_source(split=split, decoders=skip)
    files, labels = [], []
    for start in range(0, len(source), _READ_AT_ONCE):
        rows = list(range(start, min(start + _READ_AT_ONCE, len(source))))
        examples = source.__getitems__(rows)
        files += [bytes(example["image"]) for example in examples]
        labels += [example["label"] for example in examples]
    shape = np.asarray(Image.open(io.BytesIO(files[0]))).shape
    shape = (*shape, 1) if len(shape) == 2 else shape
    encoded = Encoded(files, np.array(labels, np.int32), 1, shape)
    return recoded(encoded) if lossless or not files[0].startswith(_JPEG) else encoded


def recoded(encoded: Encoded) -> Encoded:
    """Encodes single images again, as columns in lossless WebP."""
    h, w, channels = encoded.shape
    columns = []
    for start in range(0, len(encoded.files), _COLUMN):
        files = encoded.files[start : start + _COLUMN]
        pixels = np.concatenate([data.pixels_of(file, encoded.shape) for file in files])
        column = pixels.reshape(-1, w, channels)
        image, buffer = Image.fromarray(column[..., 0] if channels == 1 else column), io.BytesIO()
        image.convert("RGB").save(buffer, "WEBP", lossless=True, quality=100, method=4)
        columns.append(buffer.getvalue())
    return encoded._replace(files=columns, per_file=_COLUMN, shape=(h, w, 3))


def pack(out: Path, splits: Sequence[Encoded], about: dict, limit: int) -> None:
    """Writes the parts of two splits, and the manifest.

    Args:
      out: directory.
      splits: training and test split.
      about: fields of the manifest: `dataset` and `num_classes`.
      limit: bytes of a part before compression leaves less.
    """
    out.mkdir(parents=True, exist_ok=True)
    parts = {}
    for number, (files, labels, shape) in enumerate(_portions(splits, limit), 1):
        name = f"{about['dataset']}-{number}.part"
        checksum = data.write_part(out / name, files, labels)
        pixels = np.concatenate([data.pixels_of(file, shape) for file in files])
        size = (out / name).stat().st_size
        sums = {"sha256": checksum, "pixels_sha256": data.digest(pixels.data)}
        parts[name] = {"images": len(labels), "bytes": size, **sums}
        print(f"{out / name}: {len(labels)} images, {size / 2**20:.1f} MiB", flush=True)
    manifest = {
        **about,
        "shape": list(splits[0].shape),
        "train": len(splits[0].labels),
        "parts": parts,
    }
    (out / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")


def _portions(
    splits: Sequence[Encoded], limit: int
) -> Iterator[tuple[list[bytes], np.ndarray, tuple[int, int, int]]]:
    """Files and labels of each part."""
    ratio = _compression(splits[0].files)
    files: list[bytes] = []
    labels: list[np.ndarray] = []
    size = 0.0
    for split in splits:
        for index, file in enumerate(split.files):
            if files and size + ratio * len(file) > limit:
                yield files, np.concatenate(labels), split.shape
                files, labels, size = [], [], 0.0
            files.append(file)
            labels.append(split.labels[index * split.per_file : (index + 1) * split.per_file])
            size += ratio * len(file)
    yield files, np.concatenate(labels), splits[-1].shape


def _compression(files: Sequence[bytes]) -> float:
    """Compressed size of files over their own, from the first ones; a bit more, to be safe."""
    import lzma

    sample = b"".join(files[:_READ_AT_ONCE])
    return 1.03 * len(lzma.compress(sample, preset=6)) / len(sample)


if __name__ == "__main__":
    main()
