"""Cross-modal alignment: against its definition, at exact values, and on two devices."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from infojax.losses import cross_modal_alignment
from tests import reference

VARIANTS = ["classwise", "modal", "all"]
# (n, C, d) of each route: one matrix of all classes (C <= n, C > n), or one matrix per class
ROUTES = {"grouped": (12, 5, 16), "many_classes": (6, 40, 16), "moments": (30, 3, 3)}


def batch(n, c, d, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, c, n)
    labels[labels == 1] = 0  # class 1 is absent from the batch
    images, texts = rng.normal(size=(n, d)), rng.normal(size=(c, d))
    return images + texts[labels], texts, labels


def expected(images, texts, labels, variant):
    """The definition, evaluated class by class."""
    images, texts = reference.unit_rows(images), reference.unit_rows(texts)
    present = [c for c in np.unique(labels) if c >= 0]
    if variant == "all":
        vectors = np.concatenate([images[labels >= 0], texts[present]])
        return reference.entropy(reference.gram(vectors)) / math.log(len(vectors))
    values = []
    for c in present:
        own = images[labels == c]
        own = own.mean(0, keepdims=True) if variant == "modal" else own
        vectors = np.concatenate([own, texts[c : c + 1]])
        is_zero = not np.any(vectors)
        entropy = 0 if is_zero else reference.entropy(reference.gram(vectors))
        values.append(entropy / math.log(len(vectors)))
    return np.mean(values)


@functools.cache
def loss(variant):
    return jax.jit(functools.partial(cross_modal_alignment, variant=variant))


@functools.cache
def gradients(variant):
    return jax.jit(jax.grad(functools.partial(cross_modal_alignment, variant=variant), (0, 1)))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_matches_definition(variant, route):
    images, texts, labels = batch(*ROUTES[route])
    got = loss(variant)(images.astype(np.float32), texts.astype(np.float32), labels)
    np.testing.assert_allclose(got, expected(images, texts, labels, variant), rtol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_gradients(variant, route, x64):
    images, texts, labels = batch(*ROUTES[route])
    rng = np.random.default_rng(1)
    directions = rng.normal(size=images.shape), rng.normal(size=texts.shape)
    by_images, by_texts = gradients(variant)(images, texts, labels)
    slopes = [
        reference.central_difference(
            lambda x: expected(x, texts, labels, variant), images, directions[0]
        ),
        reference.central_difference(
            lambda t: expected(images, t, labels, variant), texts, directions[1]
        ),
    ]
    got = [np.sum(by_images * directions[0]), np.sum(by_texts * directions[1])]
    np.testing.assert_allclose(got, slopes, rtol=1e-6, atol=1e-9)


def test_second_derivatives(x64):
    images, texts, labels = batch(6, 3, 5)
    f = jax.jit(lambda x, t: cross_modal_alignment(x, t, labels))
    check_grads(f, (images, texts), order=2, rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("theta", [0.0, 0.3, 1.0, math.pi / 2, 2.5, math.pi])
def test_one_image_and_its_text(variant, theta):
    """h₂((1 + |cos θ|) / 2) / log 2, independent of the norms."""
    image = jnp.array([[3.0, 0.0, 0.0]])
    text = jnp.array([[0.2 * math.cos(theta), 0.2 * math.sin(theta), 0.0]])
    p = (1 + abs(math.cos(theta))) / 2
    value = -sum(x * math.log(x) for x in (p, 1 - p) if x > 1e-12) / math.log(2)
    got = loss(variant)(image, text, jnp.array([0]))
    np.testing.assert_allclose(got, value, atol=3e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_orthonormal_features_give_one(variant):
    images, texts = jnp.eye(9)[:6], jnp.eye(9)[6:]
    got = loss(variant)(images, texts, jnp.array([0, 1, 1, 2, 2, 2]))
    np.testing.assert_allclose(got, 1, atol=1e-6)


@pytest.mark.parametrize("route", ROUTES)
def test_coinciding_features(route):
    """Zero loss and gradient, where eigenvectors are not differentiable."""
    _, texts, labels = batch(*ROUTES[route])
    texts = texts.astype(np.float32)
    scale = 1 + np.arange(len(labels), dtype=np.float32)[:, None]
    images = texts[labels] * scale
    for variant in ("classwise", "modal"):
        np.testing.assert_allclose(loss(variant)(images, texts, labels), 0, atol=1e-5)
        for gradient in gradients(variant)(images, texts, labels):
            assert np.all(np.isfinite(gradient))
            np.testing.assert_allclose(gradient, 0, atol=1e-4)
    one = np.broadcast_to(texts[:1], texts.shape)
    np.testing.assert_allclose(loss("all")(one[labels] * scale, one, labels), 0, atol=1e-5)
    for gradient in gradients("all")(one[labels] * scale, one, labels):
        np.testing.assert_allclose(gradient, 0, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_class_without_images_has_no_effect(variant, route):
    images, texts, labels = (jnp.asarray(x) for x in batch(*ROUTES[route]))
    images, texts = images.astype(jnp.float32), texts.astype(jnp.float32)
    before = loss(variant)(images, texts, labels)
    by_images, by_texts = gradients(variant)(images, texts, labels)
    assert jnp.all(by_texts[1] == 0) and jnp.all(jnp.any(by_texts[labels] != 0, 1))
    other = texts.at[1].set(jnp.nan)
    np.testing.assert_allclose(loss(variant)(images, other, labels), before, rtol=1e-6)
    again = gradients(variant)(images, other, labels)
    np.testing.assert_allclose(again[0], by_images, atol=1e-6)
    np.testing.assert_allclose(again[1], by_texts, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("route", ROUTES)
def test_padding_is_ignored(variant, route):
    images, texts, labels = batch(*ROUTES[route])
    labels[[1, 4]] = -1
    images[4] = np.nan
    images, texts = images.astype(np.float32), texts.astype(np.float32)
    whole = expected(np.delete(images, [1, 4], 0), texts, np.delete(labels, [1, 4]), variant)
    np.testing.assert_allclose(loss(variant)(images, texts, labels), whole, rtol=1e-5)
    by_images, by_texts = gradients(variant)(images, texts, labels)
    assert np.all(by_images[jnp.array([1, 4])] == 0)
    assert np.all(np.isfinite(by_images)) and np.all(np.isfinite(by_texts))
    nothing = np.full_like(labels, -1)
    assert loss(variant)(images, texts, nothing) == 0
    assert all(np.all(g == 0) for g in gradients(variant)(images, texts, nothing))


@pytest.mark.parametrize("variant", VARIANTS)
def test_zero_rows_count_only_in_the_size(variant):
    images, texts, labels = batch(*ROUTES["grouped"])
    images[2] = 0
    texts[labels[2]] = 0
    images, texts = images.astype(np.float32), texts.astype(np.float32)
    got = loss(variant)(images, texts, labels)
    np.testing.assert_allclose(got, expected(images, texts, labels, variant), rtol=1e-5)
    assert all(np.all(np.isfinite(g)) for g in gradients(variant)(images, texts, labels))


@pytest.mark.parametrize("variant", VARIANTS)
def test_invalid_input_gives_nan(variant):
    images, texts, labels = (jnp.asarray(x) for x in batch(*ROUTES["grouped"]))
    images, texts = images.astype(jnp.float32), texts.astype(jnp.float32)
    for bad in (jnp.nan, jnp.inf):
        assert jnp.isnan(loss(variant)(images.at[3, 1].set(bad), texts, labels))
        assert jnp.isnan(loss(variant)(images, texts.at[labels[3], 0].set(bad), labels))
    for bad in (-2, 5):
        assert jnp.isnan(loss(variant)(images, texts, labels.at[0].set(bad)))


def test_half_precision_and_small_labels():
    images, texts, labels = batch(*ROUTES["grouped"])
    half = jnp.asarray(images, jnp.bfloat16), jnp.asarray(texts, jnp.bfloat16)
    wide = [x.astype(jnp.float32) for x in half]
    got = loss("classwise")(*half, labels.astype(np.uint8))
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, loss("classwise")(*wide, labels))


@pytest.mark.parametrize("variant", VARIANTS)
def test_two_devices_give_the_loss_and_gradient_of_one(variant):
    images, texts, labels = batch(*ROUTES["grouped"])
    images, texts = images.astype(np.float32), texts.astype(np.float32)

    def replica(images, texts, labels):
        f = functools.partial(cross_modal_alignment, variant=variant, axis_name="batch")
        value, by_texts = jax.value_and_grad(f, 1)(images, texts, labels)
        return value, jax.lax.pmean(by_texts, "batch")

    value, by_texts = jax.pmap(replica, "batch", in_axes=(0, None, 0))(
        images.reshape(2, 6, -1), texts, labels.reshape(2, 6)
    )
    np.testing.assert_allclose(value, [loss(variant)(images, texts, labels)] * 2, rtol=1e-6)
    with jax.enable_x64(True):  # one device in float32 is off by half of the bound itself
        exact = gradients(variant)(images.astype(float), texts.astype(float), labels)[1]
    for copy in by_texts:
        np.testing.assert_allclose(copy, np.asarray(exact), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((jnp.ones((4, 3)), jnp.ones((2, 5)), jnp.zeros(4, int)), r"images and texts .*columns"),
        ((jnp.ones((4, 3)), jnp.ones((2, 3)), jnp.zeros(5, int)), r"labels must .*\(4,\)"),
        ((jnp.ones((4, 3)), jnp.ones((2, 3)), jnp.zeros(4)), r"labels must be integer"),
        ((jnp.ones((4, 3), int), jnp.ones((2, 3)), jnp.zeros(4, int)), r"images must hold real"),
        ((jnp.ones((4, 3)), jnp.ones(3), jnp.zeros(4, int)), r"texts must have 2 dim.*\(3,\)"),
        (
            (jnp.ones((4, 3)), jnp.ones((2, 3)), jnp.zeros(4, int), "class"),
            r"variant must be one of classwise, modal, all, got 'class'",
        ),
    ],
)
def test_errors_name_argument_and_shape(arguments, message):
    with pytest.raises(ValueError, match=message):
        cross_modal_alignment(*arguments)
