"""Small pictures in directories of classes."""

import numpy as np
from PIL import Image


def save(path, pixels):
    """Writes uint8 [h, w] or [h, w, channels] as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def tree(root, classes, channels=(3,), suffix="png", size=(5, 6), **splits):
    """Writes `root/SPLIT/CLASS/i.png` with the given numbers of images per class.

    Returns:
      The pixels of each split, uint8 [classes, n, h, w, channels].
    """
    rng = np.random.default_rng(0)
    pixels = {
        split: rng.integers(0, 256, (len(classes), n, *size, *channels), np.uint8)
        for split, n in splits.items()
    }
    for split, images in pixels.items():
        for name, own in zip(classes, images, strict=True):
            for i, image in enumerate(own):
                save(root / split / name / f"{i}.{suffix}", image)
    return pixels
