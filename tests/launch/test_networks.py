"""What `config.model` may name, and what is said about anything else."""

import re
import sys

import jax
import numpy as np
import pytest

from configs import cifar10
from infojax.errors import UserError
from launch import classification, fine_tuning, networks, runs

SHAPE, CLASSES = (8, 8, 1), 10


def config(**changes):
    settings = cifar10.get_config("smoke")
    settings.update(changes)
    return settings


@pytest.mark.parametrize(
    ("model", "name", "d"),
    [("wide_resnet", "WideResNet-10-1", 64), ("mlp", "MLP-2x64", 64), ("vit", "ViT-2x32/2", 32)],
)
def test_built_in_models(model, name, d):
    settings = config(model=model)
    networks.check(settings)
    assert runs.model_name(settings) == name
    network = networks.make_model(settings, SHAPE, CLASSES)
    images = np.zeros((2, *SHAPE), np.float32)
    params, state = jax.eval_shape(network.init, jax.random.key(0), images)
    assert set(state) == ({"batch_stats"} if model == "wide_resnet" else set())
    outputs = jax.eval_shape(lambda p, s: network.apply(p, s, images, False), params, state)
    assert [x.shape for x in outputs[:2]] == [(2, d), (2, CLASSES)]
    assert [x.shape for x in jax.eval_shape(network.head_of, params)] == [(CLASSES, d), (CLASSES,)]
    prunable = [p for p in fine_tuning.head_leaves(network, params) if p.endswith("kernel")]
    assert prunable == ["head/kernel"]


def test_settings_reach_the_models():
    base = {
        "wide_resnet": {"depth": 16, "width": 2, "num_groups": 4, "wide_resnet_form": "usb"},
        "mlp": {"mlp_depth": 3, "mlp_width": 33},
        "vit": {"vit_patch": 4, "vit_width": 16, "vit_depth": 1},
    }
    for model, changes in base.items():
        assert set(changes) <= set(networks.ARCHITECTURE[model])
        sizes = {_parameters(config(model=model))}
        for name, value in changes.items():
            sizes.add(_parameters(config(model=model, **{name: value})))
        assert len(sizes) == 1 + len(changes), model


def _parameters(settings):
    network = networks.make_model(settings, SHAPE, CLASSES)
    images = np.zeros((2, *SHAPE), np.float32)
    params, _ = jax.eval_shape(network.init, jax.random.key(0), images)
    return sum(x.size for x in jax.tree.leaves(params))


MODULE = """
from flax import linen as nn

from infojax.models.classifier import of_linen
from infojax.models.mlp import MLP

NOTHING = 3


def without_a_head(config, image_shape, num_classes):
    return of_linen(MLP(num_classes, 1, 8), head="last")


def a_module(config, image_shape, num_classes):
    return MLP(num_classes)


def of_other_arguments(config, num_classes):
    return of_linen(MLP(num_classes))


class OneArgument(nn.Module):
    def __call__(self, images):
        return images


def a_module_of_other_arguments(config, image_shape, num_classes):
    return of_linen(OneArgument())


class Dropout(nn.Module):
    @nn.compact
    def __call__(self, images, train):
        z = nn.Dropout(0.5, deterministic=not train)(images.reshape(len(images), -1))
        return z, nn.Dense(10, name="head")(z)


def with_dropout(config, image_shape, num_classes):
    return of_linen(Dropout())


def without_its_activation(config, image_shape, num_classes):
    network = of_linen(MLP(num_classes, 1, 8))

    def apply(params, state, images, train):
        z, logits, state = network.apply(params, state, images, train)
        return z - 1, logits, state

    return network._replace(apply=apply)


def one_class_more(config, image_shape, num_classes):
    return of_linen(MLP(num_classes + 1))
"""

REFUSED = [
    ({"model": "resnet"}, "model = 'resnet' is unknown; use wide_resnet, mlp, vit or 'package"),
    ({"model": ""}, "model = '' is unknown; use wide_resnet, mlp, vit or 'package"),
    ({"model": ":small"}, "model = ':small' is unknown; use wide_resnet"),
    ({"model": ".here:small"}, "model = '.here:small' is unknown; use wide_resnet"),
    ({"model": "nowhere.at:all"}, "is unknown: there is no module nowhere.at"),
    ({"model": "unfinished:nothing"}, "is unknown: unfinished has no function nothing"),
    ({"model": "unfinished:NOTHING"}, "is unknown: unfinished has no function NOTHING"),
    ({"model": "unfinished:without_a_head"}, "without_a_head': the model has no head at 'last'"),
    ({"model": "unfinished:a_module"}, "a_module': the function returns MLP; return a Classifier"),
    (
        {"model": "unfinished:one_class_more"},
        "one_class_more': logits of 2 images must be floating",
    ),
    (
        {"model": "unfinished:without_its_activation"},
        "without_its_activation': the logits are not features @ w.T + b of the head",
    ),
    ({"model": "unfinished:of_other_arguments"}, "must take config, image_shape and num_classes"),
    (
        {"model": "unfinished:a_module_of_other_arguments"},
        "OneArgument must be called as module(images, train)",
    ),
    ({"model": "unfinished:with_dropout"}, "random streams, such as Dropout's, are not supported"),
    ({"model": "mlp", "mlp_depth": 0}, "mlp_depth must be at least 1, got 0"),
    ({"model": "vit", "vit_heads": 3}, "vit_width = 32 must be a multiple of 4 and of vit_heads"),
    (
        {"model": "vit", "vit_patch": 3},
        "vit_patch = 3 must divide height and width of the images",
    ),
    ({"wide_resnet_form": "keras"}, "wide_resnet_form = 'keras' is unknown; use tensorflow"),
    ({"batchnorm_decay": 1.0}, "batchnorm_decay must lie in [0, 1), got 1.0"),
]


@pytest.fixture
def unfinished(tmp_path, monkeypatch):
    """A module of functions that are no models yet."""
    (tmp_path / "unfinished.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("unfinished", None)


@pytest.mark.usefixtures("unfinished")
@pytest.mark.parametrize(("changes", "message"), REFUSED)
def test_refused_before_training(changes, message):
    settings = config(**changes)
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        classification.check(settings)
        classification.build(settings)
    assert len(str(caught.value).splitlines()) == 1


def test_settings_of_other_models_are_not_checked():
    for model in ("mlp", "vit"):
        classification.check(config(model=model, depth=12, width=0, batchnorm_decay=2.0))
    classification.check(config(mlp_depth=0, vit_heads=3))


def test_a_defect_in_the_users_module_keeps_its_traceback(tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("import nowhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="nowhere"):
        networks.check(config(model="broken:network"))
