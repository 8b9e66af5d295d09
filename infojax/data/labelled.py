"""Few labels: which training images keep theirs, and the pool of images to use unlabelled."""

import numpy as np

from infojax.data.images import ImageData
from infojax.errors import UserError


def draw(labels: np.ndarray, num_labels: int, num_classes: int, seed: int) -> np.ndarray:
    """Draws a labelled set with the same number of images per class.

    With the same seed, a smaller set is a subset of a larger one.

    Args:
      labels: labels of the training images, integer [n], in [0, C).
      num_labels: images to draw, a multiple of C; 0 takes all.
      num_classes: number of classes C.
      seed: seed of the draw, at least 0; the draw depends on no other random state.

    Returns:
      Ascending indices int32 [num_labels] into the training images.

    Raises:
      UserError: num_labels is not a multiple of C, or a class has too few images.

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
            f"num_labels = {num_labels} takes {each} images of each class, but one class has "
            f"only {smallest}"
        )
    rng = np.random.RandomState(seed)  # unlike newer generators, its streams never change
    order = rng.permutation(len(labels))
    drawn = [order[labels[order] == c][:each] for c in range(num_classes)]
    return np.sort(np.concatenate(drawn)).astype(np.int32)


def pool(data: ImageData, unlabelled: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images to use without labels: all training images, labelled ones included.

    Args:
      data: the data set, whose training images come first.
      unlabelled: additional unlabelled images, uint8 [m, h, w, channels], or None.

    Returns:
      Images uint8 [n + m, h, w, channels], and their labels int32 [n + m], -1 where unknown.
    """
    images, labels = data.train
    assert isinstance(images, np.ndarray), "stored images are not pooled"
    if unlabelled is None:
        return images, labels
    unknown = np.full(len(unlabelled), -1, np.int32)
    return np.concatenate([images, unlabelled]), np.concatenate([labels, unknown])
