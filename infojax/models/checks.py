"""Checks of a classifier before training: shapes, dtypes, and that its head makes the logits."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax.errors import InvalidRngError

from infojax._trees import named_leaves
from infojax.errors import UserError
from infojax.models.classifier import Classifier

_NO_STREAMS = "random streams, such as Dropout's,"
_TOLERANCE = 0.02  # relative; bfloat16 rounds to 0.004


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


def check_head(model: Classifier, image_shape: tuple[int, ...], axis_name: str) -> None:
    """Raises UserError if the logits of two random images are not those of features and head.

    Args:
      model: a classifier that passed `check`.
      image_shape: height, width and channels.
      axis_name: device axis under which the model is applied.
    """
    shape = (2, *image_shape)
    if float(jax.jit(lambda: _error_of_logits(model, axis_name, shape))()) > _TOLERANCE:
        raise UserError(
            "the logits are not features @ w.T + b of the head: features must be what the last "
            "layer takes, after the last activation, and the head that layer"
        )


def _check_floating(kind: str, tree: Any) -> None:
    for name, leaf in named_leaves(tree):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise UserError(
                f"the {kind} {name} is {leaf.dtype}, but devices average it: it must be floating "
                f"({_NO_STREAMS} are not supported)"
            )


def _outputs(
    model: Classifier, axis_name: str, params: Any, state: Any, images: Any, train: bool
) -> Any:
    """Shapes of a device's outputs."""
    apply = functools.partial(_on_device, model, axis_name, train)
    try:
        return jax.eval_shape(apply, params, state, images)
    except InvalidRngError as error:
        raise UserError(f"{_NO_STREAMS} are not supported") from error


def _on_device(
    model: Classifier, axis_name: str, train: bool, params: Any, state: Any, images: jax.Array
) -> Any:
    """The outputs of one device."""

    def apply(x: jax.Array) -> Any:
        return model.apply(params, state, x, train)

    outputs = jax.vmap(apply, axis_name=axis_name)(images[None])
    return jax.tree.map(lambda x: x[0], outputs)


def _error_of_logits(model: Classifier, axis_name: str, shape: tuple[int, ...]) -> jax.Array:
    """The largest difference between the logits and those computed from features and head.

    It is relative to the largest sum of absolute terms. Noise is added to the parameters: a head
    that starts at 0 would give the same logits as any other.
    """
    keys = jax.random.split(jax.random.key(0), 3)
    images = jax.random.normal(keys[0], shape)
    params, state = model.init(keys[1], images)
    leaves, tree = jax.tree.flatten(params)
    own = jax.random.split(keys[2], len(leaves))
    noise = (jax.random.normal(key, x.shape, x.dtype) for key, x in zip(own, leaves, strict=True))
    noisy = [x + 0.1 * e for x, e in zip(leaves, noise, strict=True)]
    params = jax.tree.unflatten(tree, noisy)
    features, logits, _ = _on_device(model, axis_name, False, params, state, images)
    arrays = (x.astype(jnp.float32) for x in (features, logits, *model.head_of(params)))
    z, found, w, b = arrays
    difference = jnp.max(jnp.abs(_linear(z, w, b) - found))
    return difference / jnp.max(_linear(jnp.abs(z), jnp.abs(w), jnp.abs(b)))


def _linear(z: jax.Array, w: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(z, w.T, precision=jax.lax.Precision.HIGHEST) + b[None]


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
