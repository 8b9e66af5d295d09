"""Checks of a classifier's shapes and dtypes, before anything is computed."""

from typing import Any

import jax
import jax.numpy as jnp

from infojax._trees import named_leaves
from infojax.errors import UserError
from infojax.models.classifier import Classifier


def check(model: Any, image_shape: tuple[int, ...], num_classes: int, axis_name: str) -> None:
    """Traces a classifier in evaluation and in training.

    Args:
      model: what should be a `Classifier`.
      image_shape: height, width and channels.
      num_classes: C.
      axis_name: device axis under which the model is applied.

    Raises:
      UserError: the first thing that is wrong, in one line.
    """
    if not isinstance(model, Classifier):
        raise UserError(
            f"the function returns {_kind(model)}; return a Classifier, for example "
            "infojax.models.classifier.of_linen(module)"
        )
    images = jax.ShapeDtypeStruct((2, *image_shape), jnp.float32)
    params, state = jax.eval_shape(model.init, jax.random.key(0), images)
    _check_floating("parameter", params)
    _check_floating("state", state)
    head = jax.eval_shape(model.head_of, params)
    for train in (False, True):
        features, logits, new = _outputs(model, axis_name, params, state, images, train)
        _check_shapes(features, logits, head, num_classes)
        if _layout(new) != _layout(state):
            when = "training" if train else "evaluation"
            raise UserError(f"{when} must return a state of the names, shapes and dtypes of init's")


def _check_floating(kind: str, tree: Any) -> None:
    for name, leaf in named_leaves(tree):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise UserError(
                f"the {kind} {name} is {leaf.dtype}, but devices average it: it must be floating "
                "(random streams, such as Dropout's, are not supported)"
            )


def _outputs(
    model: Classifier, axis_name: str, params: Any, state: Any, images: Any, train: bool
) -> Any:
    """Shapes of a device's outputs."""

    def on_device(batch: jax.Array, params: Any, state: Any) -> Any:
        return model.apply(params, state, batch, train)

    mapped = jax.vmap(on_device, in_axes=(0, None, None), axis_name=axis_name)
    batches = jax.ShapeDtypeStruct((1, *images.shape), images.dtype)
    outputs = jax.eval_shape(mapped, batches, params, state)
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), outputs)


def _check_shapes(features: Any, logits: Any, head: Any, num_classes: int) -> None:
    n = 2
    if features.ndim != 2 or len(features) != n or not _floating(features):
        raise UserError(f"features of {n} images must be floating [{n}, d], got {_kind(features)}")
    d = features.shape[1]
    if logits.shape != (n, num_classes) or not _floating(logits):
        raise UserError(
            f"logits of {n} images must be floating [{n}, {num_classes}], got {_kind(logits)}; "
            "features come first, logits second"
        )
    w, b = head
    if (w.shape, b.shape) != ((num_classes, d), (num_classes,)):
        raise UserError(
            f"the head of {num_classes} classes and {d} features must have rows "
            f"[{num_classes}, {d}] and biases [{num_classes}], got {_kind(w)} and {_kind(b)}"
        )


def _floating(x: Any) -> bool:
    return jnp.issubdtype(x.dtype, jnp.floating)


def _layout(tree: Any) -> list[tuple[str, Any, Any]]:
    return [(name, x.shape, x.dtype) for name, x in named_leaves(tree)]


def _kind(x: Any) -> str:
    if isinstance(x, jax.ShapeDtypeStruct):
        return f"{x.dtype}[{', '.join(map(str, x.shape))}]"
    return type(x).__name__
