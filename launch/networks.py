"""The model that `config.model` names: built in, or a function of the user's (docs/models.md)."""

import math
from typing import Protocol, cast

import jax.numpy as jnp
from ml_collections import ConfigDict

from infojax import training
from infojax.errors import UserError
from infojax.models import checks, classifier
from infojax.models.classifier import Classifier
from infojax.models.mlp import MLP
from infojax.models.vit import ViT
from infojax.models.wide_resnet import FORMS, WideResNet
from launch import modules
from launch.settings import check_at_least, check_below_one, check_choice

# The built-in models, and the settings on which their parameters depend.
ARCHITECTURE = {
    "wide_resnet": ("depth", "width", "num_groups", "first_stride", "wide_resnet_form"),
    "mlp": ("mlp_depth", "mlp_width"),
    "vit": ("vit_patch", "vit_width", "vit_depth", "vit_heads"),
}
ImageShape = tuple[int, int, int]  # height, width, channels


class MakeClassifier(Protocol):
    """The function that `config.model = "package.module:function"` names."""

    def __call__(self, config: ConfigDict, image_shape: ImageShape, num_classes: int) -> Classifier:
        """Returns the model for images of C classes; it may read any field of the config."""


def make_model(config: ConfigDict, image_shape: ImageShape, num_classes: int) -> Classifier:
    """Returns the model of a config.

    Args:
      config: of the run.
      image_shape: height, width and channels.
      num_classes: C.

    Raises:
      UserError: `config.model` is unknown, or does not fit the images; the user's function returns
        something other than a model of C classes.
    """
    match config.model:
        case "wide_resnet":
            return classifier.of_linen(_wide_resnet(config, num_classes))
        case "mlp":
            dtype = jnp.dtype(config.compute_dtype)
            return classifier.of_linen(MLP(num_classes, config.mlp_depth, config.mlp_width, dtype))
        case "vit":
            return classifier.of_linen(_vit(config, image_shape, num_classes))
    function = _function(config.model)
    try:
        model = function(config, image_shape, num_classes)
        checks.check(model, image_shape, num_classes, training.AXIS)
    except UserError as error:
        raise UserError(f"model = {config.model!r}: {error}") from error
    return model


def check_head(config: ConfigDict, model: Classifier, image_shape: ImageShape) -> None:
    """Raises UserError if the logits of a user's model are not those of its features and head."""
    if config.model not in ARCHITECTURE:
        try:
            checks.check_head(model, image_shape, training.AXIS)
        except UserError as error:
            raise UserError(f"model = {config.model!r}: {error}") from error


def check(config: ConfigDict) -> None:
    """Raises UserError for settings of the model that cannot be run."""
    match config.model:
        case "wide_resnet":
            check_at_least(config, dict.fromkeys(("width", "num_groups", "first_stride"), 1))
            if config.depth < 10 or (config.depth - 4) % 6:
                raise UserError(f"depth must be 6 n + 4 (10, 16, 22, 28), got {config.depth}")
            check_below_one(config, "batchnorm_decay")
            check_choice(config, "wide_resnet_form", FORMS)
        case "mlp" | "vit":
            check_at_least(config, dict.fromkeys(ARCHITECTURE[config.model], 1))
        case _:
            _function(config.model)
    if config.model == "vit" and (config.vit_width % 4 or config.vit_width % config.vit_heads):
        raise UserError(
            f"vit_width = {config.vit_width} must be a multiple of 4 and of vit_heads = "
            f"{config.vit_heads}"
        )


def _wide_resnet(config: ConfigDict, num_classes: int) -> WideResNet:
    return WideResNet(
        num_classes,
        config.depth,
        config.width,
        config.num_groups,
        config.first_stride,
        config.batchnorm_decay,
        training.AXIS if config.batchnorm_sync else None,
        jnp.dtype(config.compute_dtype),
        config.wide_resnet_form,
    )


def _vit(config: ConfigDict, image_shape: ImageShape, num_classes: int) -> ViT:
    side = math.gcd(*image_shape[:2])
    if side % config.vit_patch:
        sides = ", ".join(str(n) for n in range(1, side + 1) if side % n == 0)
        raise UserError(
            f"vit_patch = {config.vit_patch} must divide height and width of the images: use one "
            f"of {sides}"
        )
    return ViT(
        num_classes,
        config.vit_patch,
        config.vit_width,
        config.vit_depth,
        config.vit_heads,
        jnp.dtype(config.compute_dtype),
    )


def _function(name: str) -> MakeClassifier:
    """Imports a user's function."""
    path, colon, attribute = name.partition(":")
    if not (path and colon and attribute) or path.startswith("."):
        known = ", ".join(ARCHITECTURE)
        raise UserError(f"model = {name!r} is unknown; use {known} or 'package.module:function'")
    module = modules.imported(path, f"model = {name!r}")
    function = getattr(module, attribute, None)
    if not callable(function):
        raise UserError(f"model = {name!r} is unknown: {path} has no function {attribute}")
    if not classifier.takes(function, "config", "image_shape", "num_classes"):
        raise UserError(f"model = {name!r} must take config, image_shape and num_classes")
    return cast(MakeClassifier, function)
