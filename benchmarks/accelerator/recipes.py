"""How the networks of parts 1, 3 and 6 are trained."""

from typing import NamedTuple

_IMAGES = 50_000  # of CIFAR's training split


class Recipe(NamedTuple):
    """Settings of supervised training, named as in configs/supervised.py.

    Attributes:
      metrics_every: steps between records of the information terms that are not part of the loss.
      eval_every: steps of one dispatch, after which the splits are measured.
      stream: of order and augmentation.
    """

    depth: int
    width: int
    form: str
    dtype: str
    batch_size: int
    num_steps: int
    learning_rate: float
    batchnorm_decay: float
    ema_decay: float | None
    momentum: float = 0.9
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    mi_weight: float = 0.0
    id_weight: float = 0.0
    crop_padding: int = 4
    flip: bool = True
    metrics_every: int = 64
    eval_every: int = 1024
    eval_batch_size: int = 1024
    metric_batch_size: int = 64
    seed: int = 0
    stream: int = 1


# Section 2 of the papers: CIFAR-10, batches of 64, 2^20 steps.
PAPER = Recipe(28, 2, "torchssl", "bfloat16", 64, 2**20, 0.03, 0.999, 0.999, eval_every=2**14)


def enlarged(recipe: Recipe, factor: int, epochs: int) -> Recipe:
    """Returns a recipe with larger batches and about a number of epochs, in 50 dispatches.

    The learning rate grows with the batch; the averages span as many images as before.
    """
    size = factor * recipe.batch_size
    every = recipe.metrics_every * round(epochs * _IMAGES / size / recipe.metrics_every / 50)
    ema = recipe.ema_decay
    return recipe._replace(
        batch_size=size,
        num_steps=50 * every,
        learning_rate=factor * recipe.learning_rate,
        batchnorm_decay=recipe.batchnorm_decay**factor,
        ema_decay=None if ema is None else ema**factor,
        eval_every=every,
    )


RECIPES = {"large": enlarged(PAPER, 8, 200), "paper": PAPER}
# Without augmentation and averages, for comparisons with PyTorch on the same images.
STEP = PAPER._replace(
    form="tensorflow", dtype="float32", ema_decay=None, crop_padding=0, flip=False
)
# Digits and a network without blocks, in seconds on a CPU.
SMALL = Recipe(
    *(4, 1, "tensorflow", "float32", 16, 4, 0.1, 0.5, 0.5),
    crop_padding=1,
    flip=False,
    metrics_every=1,
    eval_every=2,
    eval_batch_size=64,
    metric_batch_size=32,
)
