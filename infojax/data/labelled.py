"""Few labels: which training images keep theirs, and the pool of all images without."""

import numpy as np

from infojax.data.images import ImageData
from infojax.errors import UserError


def draw(labels: np.ndarray, num_labels: int, num_classes: int, seed: int) -> np.ndarray:
    """Draws a labelled set with the same number of images of every class.

    A smaller set is part of a larger one of the same seed.

    Args:
      labels: of the training images, integer [n], in [0, C).
      num_labels: images to draw, a multiple of C; 0 takes all there are.
      num_classes: number of classes C.
      seed: of the draw, at least 0; the draw depends on nothing else.

    Returns:
      Ascending indices int32 [num_labels] into the training images.

    Raises:
      UserError: the classes cannot have equally many, or one has too few images.

    >>> draw(np.array([0, 1, 1, 0, 1]), 2, 2, seed=0).tolist()
    [0, 2]
    """
    if num_labels == 0:
        return np.arange(len(labels), dtype=np.int32)
    if num_labels < 0 or num_labels % num_classes:
        raise UserError(
            f"num_labels must be a multiple of the {num_classes} classes (0 takes all labels), "
            f"got {num_labels}"
        )
    each = num_labels // num_classes
    smallest = np.min(np.bincount(labels, minlength=num_classes))
    if each > smallest:
        raise UserError(
            f"num_labels = {num_labels} takes {each} images of each class, and one class has "
            f"{smallest} only"
        )
    rng = np.random.RandomState(seed)  # NumPy changes the streams of its newer generators
    order = rng.permutation(len(labels))
    drawn = [order[labels[order] == c][:each] for c in range(num_classes)]
    return np.sort(np.concatenate(drawn)).astype(np.int32)


def pool(data: ImageData, unlabelled: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The images that are trained on without labels: all training images, labelled ones included.

    Args:
      data: the data set, whose training images come first.
      unlabelled: more images without labels, uint8 [m, h, w, channels], if there are.

    Returns:
      Images uint8 [n + m, h, w, channels], and their labels int32 [n + m], -1 where unknown.
    """
    images, labels = data.train
    if unlabelled is None:
        return images, labels
    unknown = np.full(len(unlabelled), -1, np.int32)
    return np.concatenate([images, unlabelled]), np.concatenate([labels, unknown])
