"""Classifiers of linen and NNX modules: what is drawn, what training renews, heads, checks."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn, nnx

from infojax.errors import UserError
from infojax.models import checks
from infojax.models.classifier import Classifier, of_linen, of_nnx
from infojax.models.mlp import MLP

SHAPE, CLASSES = (4, 4, 1), 3
IMAGES = np.random.default_rng(0).normal(size=(6, *SHAPE)).astype(np.float32)


class Linen(nn.Module):
    """A dense layer, BatchNorm, and a head."""

    norm: bool = True
    bias: bool = True

    @nn.compact
    def __call__(self, images, train):
        z = nn.Dense(8, name="hidden")(images.reshape(len(images), -1))
        if self.norm:
            z = nn.BatchNorm(use_running_average=not train, momentum=0.9, name="norm")(z)
        return nn.relu(z), nn.Dense(CLASSES, use_bias=self.bias, name="head")(nn.relu(z))


class NNX(nnx.Module):
    """The same, in a list of layers."""

    def __init__(self, rngs, norm=True, bias=True):
        first = nnx.Linear(16, 8, rngs=rngs)
        self.layers = nnx.List([first, nnx.BatchNorm(8, momentum=0.9, rngs=rngs)][: 1 + norm])
        self.head = nnx.Linear(8, CLASSES, use_bias=bias, rngs=rngs)

    def __call__(self, images):
        z = images.reshape(len(images), -1)
        for layer in self.layers:
            z = layer(z)
        return nnx.relu(z), self.head(nnx.relu(z))


def linen(**options):
    return of_linen(Linen(**options))


def nnx_(**options):
    return of_nnx(lambda rngs: NNX(rngs, **options))


@pytest.mark.parametrize("make", [linen, nnx_])
def test_training_renews_statistics_and_evaluation_does_not(make):
    model = make()
    params, state = jax.jit(model.init)(jax.random.key(0), IMAGES)
    state |= {"method": jnp.ones(2)}
    apply = jax.jit(model.apply, static_argnums=3)
    z, logits, same = apply(params, state, IMAGES, False)
    jax.tree.map(np.testing.assert_array_equal, same, state)
    trained, _, new = apply(params, state, IMAGES, True)
    assert jax.tree.structure(new) == jax.tree.structure(state)
    np.testing.assert_array_equal(new["method"], state["method"])
    statistics = new["batch_stats"]
    norm = statistics["norm"] if make is linen else statistics["layers"][1]
    hidden = params["hidden"] if make is linen else params["layers"][0]
    x = IMAGES.reshape(6, -1) @ np.asarray(hidden["kernel"]) + np.asarray(hidden["bias"])
    np.testing.assert_allclose(norm["mean"], 0.1 * x.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(norm["var"], 0.9 + 0.1 * x.var(0), rtol=1e-4)
    expected = (x - x.mean(0)) / np.sqrt(x.var(0) + 1e-5)
    np.testing.assert_allclose(trained, np.maximum(expected, 0), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(z, np.maximum(x / np.sqrt(1 + 1e-5), 0), rtol=1e-4, atol=1e-5)
    w, b = model.head_of(params)
    np.testing.assert_allclose(logits, z @ w.T + b[None], rtol=1e-4, atol=1e-5)
    checks.check(model, SHAPE, CLASSES, "batch")


@pytest.mark.parametrize("make", [linen, nnx_])
def test_seeds_draw_other_parameters_and_a_head_may_lack_biases(make):
    model = make(norm=False, bias=False)
    (a, state), (b, _), (again, _) = (model.init(jax.random.key(s), IMAGES) for s in (0, 1, 0))
    assert state == {}
    np.testing.assert_array_equal(a["head"]["kernel"], again["head"]["kernel"])
    assert np.abs(a["head"]["kernel"] - b["head"]["kernel"]).min() > 0
    w, bias = model.head_of(a)
    np.testing.assert_array_equal(w, a["head"]["kernel"].T)
    assert bias.tolist() == [0, 0, 0]
    features, _, state = model.apply(a, {}, IMAGES, True)
    assert features.shape == (6, 8) and state == {}
    checks.check(model, SHAPE, CLASSES, "batch")


def test_nnx_runs_on_devices_and_in_loops():
    """A scan of training steps under pmap, whose statistics are those of single calls."""
    model = nnx_()
    params, state = model.init(jax.random.key(0), IMAGES)

    def steps(params, state, images):
        step = lambda state, x: (model.apply(params, state, x, True)[2], None)  # noqa: E731
        return jax.lax.scan(step, state, images)[0]

    batches = IMAGES.reshape(1, 3, 2, *SHAPE)
    run = jax.pmap(steps, in_axes=(None, None, 0))
    got = jax.tree.map(lambda x: x[0], run(params, state, batches))
    for batch in batches[0]:
        state = model.apply(params, state, batch, True)[2]
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_nnx_parameters_whose_numbers_became_strings():
    """As in a checkpoint that is read without a template; "10" sorts before "2"."""

    class Deep(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Linear(16, 16, rngs=rngs) for _ in range(11)])
            self.head = nnx.Linear(16, CLASSES, rngs=rngs)

        def __call__(self, images):
            z = images.reshape(len(images), -1)
            for layer in self.layers:
                z = layer(z)
            return z, self.head(z)

    model = of_nnx(Deep)
    params, _ = model.init(jax.random.key(0), IMAGES)
    renamed = params | {"layers": {str(i): x for i, x in params["layers"].items()}}
    np.testing.assert_array_equal(
        *(model.apply(p, {}, IMAGES, False)[1] for p in (params, renamed))
    )


def _changed(**changes):
    """A classifier of which one function is replaced."""
    return linen(norm=False)._replace(**changes)


def _head(rows, columns):
    return lambda params: (jnp.zeros((rows, columns)), jnp.zeros(rows))


class Other(nn.Module):
    """A module that returns, or holds, something else."""

    what: str

    @nn.compact
    def __call__(self, images, train):
        x = images.reshape(len(images), -1)
        z = nn.Dense(8, name="hidden")(x)
        if self.what == "activation":
            return z, nn.Dense(CLASSES, name="head")(nn.relu(z))
        logits = nn.Dense(CLASSES, name="head")(z)
        if self.what == "another head":
            zeros = nn.initializers.zeros_init()
            return z, nn.Dense(CLASSES, kernel_init=zeros, name="real")(z) + 0 * logits
        if self.what == "count":
            self.variable("batch_stats", "count", lambda: jnp.int32(0))
        if self.what == "cache":
            self.variable("cache", "last", lambda: x)
        return {
            "logits alone": logits, "three": (z, logits, z), "swapped": (logits, z),
            "images": (images, logits), "integers": (z.astype(jnp.int32), logits),
        }.get(self.what, (z, logits))  # fmt: skip


class Square(nn.Module):
    """As many features as classes, behind the logits."""

    @nn.compact
    def __call__(self, images, train):
        z = nn.relu(nn.Dense(CLASSES)(images.reshape(len(images), -1)))
        return nn.Dense(CLASSES, name="head")(z), z


WRONG = [
    (lambda: Linen(), "the function returns Linen; return a Classifier"),
    (lambda: of_linen(Linen(), head="last"), "no head at 'last'; its parameters hold head, hidden"),
    (lambda: of_linen(Linen(), head="head/kernel"), "head at 'head/kernel' is not a dense layer"),
    (lambda: of_linen(Linen(), head="norm"), "head at 'norm' is not a dense layer"),
    (
        lambda: of_linen(Linen(), head="hidden"),
        "rows [3, 8] and biases [3], got float32[8, 16]",
    ),
    (lambda: _changed(head_of=_head(3, 7)), "got float32[3, 7] and float32[3]"),
    (lambda: of_linen(Other("logits alone")), "must return features and logits, but it returns"),
    (lambda: of_linen(Other("three")), "must return features and logits, but it returns 3 values"),
    (
        lambda: of_linen(Other("swapped")),
        "logits of 2 images must be floating [2, 3], got",
    ),
    (lambda: of_linen(Other("images")), "must be floating [2, d], got float32[2, 4, 4, 1]"),
    (lambda: of_linen(Other("integers")), "must be floating [2, d], got int32[2, 8]"),
    (lambda: of_linen(Other("count")), "the state batch_stats/count is int32, but devices average"),
    (lambda: of_linen(Other("cache")), "name all kinds but params in of_linen(..., collections=("),
    (
        lambda: _changed(
            apply=lambda p, s, x, t: (x[:, :2, :, 0].reshape(2, 8), x[:, 0, 1:, 0], {"x": x})
        ),
        "evaluation must return a state of the names, shapes and dtypes of init's",
    ),
    (
        lambda: of_nnx(lambda rngs: nnx.Dropout(0.5, rngs=rngs)),
        "only Param and BatchStat are supported (random streams, such as Dropout's, are not)",
    ),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=lambda x: x if isinstance(x, str) else "")
def test_what_is_wrong_is_said_in_one_line(make, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        checks.check(make(), SHAPE, CLASSES, "batch")
    assert len(str(caught.value).splitlines()) == 1


def test_a_head_given_by_a_function():
    def head_of(params):
        return params["head"]["kernel"].T, params["head"]["bias"]

    for make in (lambda: of_linen(Linen(), head_of), lambda: of_nnx(NNX, head_of)):
        model = make()
        assert isinstance(model, Classifier) and model.head_of is head_of
        checks.check(model, SHAPE, CLASSES, "batch")


@pytest.mark.parametrize("module", [Other("activation"), Other("another head"), Square()])
def test_logits_of_something_else_than_features_and_head(module):
    model = of_linen(module)
    checks.check(model, SHAPE, CLASSES, "batch")
    with pytest.raises(UserError, match=r"the logits are not features @ w\.T \+ b of the head"):
        checks.check_head(model, SHAPE, "batch")


def test_the_logits_of_features_and_head():
    checks.check_head(linen(), SHAPE, "batch")
    checks.check_head(nnx_(bias=False), SHAPE, "batch")
    with jax.numpy_dtype_promotion("standard"):  # flax computes statistics in float32
        checks.check_head(of_linen(MLP(CLASSES, 1, 2048, jnp.bfloat16)), SHAPE, "batch")
