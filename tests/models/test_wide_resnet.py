import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax.models.classifier import of_linen
from infojax.models.wide_resnet import WideResNet
from tests.models import wide_resnet_problems as problems


def _shapes(**settings):
    model = WideResNet(10, **settings)
    image = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)
    init = functools.partial(model.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), image)
    outputs = jax.eval_shape(functools.partial(model.apply, train=False), variables, image)
    return variables, outputs


def _count(tree):
    return sum(x.size for x in jax.tree.leaves(tree))


# Published parameter counts, with a head of 10 classes.
@pytest.mark.parametrize(
    ("form", "width", "d", "parameters"),
    [
        ("tensorflow", 2, 128, 1_467_610),
        ("tensorflow", 8, 512, 23_354_842),
        ("usb", 2, 128, 1_467_626),
        ("torchssl", 2, 128, 1_469_642),
    ],
)
def test_sizes_of_the_papers_networks(form, width, d, parameters):
    variables, (features, logits) = _shapes(depth=28, width=width, form=form)
    assert (features.shape, logits.shape) == ((2, d), (2, 10))
    assert _count(variables["params"]) == parameters


def test_four_groups_for_large_images():
    _, (features, _) = _shapes(depth=28, width=2, num_groups=4, first_stride=2)
    assert features.shape == (2, 256)


def _numpy_network(variables, images, train):
    """WideResNet-10-1 from its definition, in float64 loops over the kernels' taps."""
    params, averages = (jax.tree.map(np.float64, variables[k]) for k in ("params", "batch_stats"))
    lrelu = lambda x: np.where(x > 0, x, 0.1 * x)  # noqa: E731

    def norm(x, name, group=None):
        p, s = (tree[group][name] if group else tree[name] for tree in (params, averages))
        mean, var = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if train else (s["mean"], s["var"])
        return (x - mean) / np.sqrt(var + 1e-3) * p["scale"] + p["bias"]

    def conv(x, kernel, stride=1):
        k, (n, h, w, _) = kernel.shape[0], x.shape
        total = max(k - stride, 0) if h % stride == 0 else max(k - h % stride, 0)
        low = total // 2
        x = np.pad(x, ((0, 0), (low, total - low), (low, total - low), (0, 0)))
        out = np.zeros((n, -(-h // stride), -(-w // stride), kernel.shape[-1]))
        for i in range(k):
            for j in range(k):
                taps = x[:, i : i + h : stride, j : j + w : stride]
                out += taps[:, : out.shape[1], : out.shape[2]] @ kernel[i, j]
        return out

    x = conv(images, params["stem"]["kernel"])
    for i, stride in enumerate((1, 2, 2)):
        name = f"group{i}_block0"
        p = params[name]
        y = lrelu(norm(x, "norm1", name))
        shortcut = y if i == 0 else x
        y = lrelu(norm(conv(y, p["conv1"]["kernel"], stride), "norm2", name))
        y = conv(y, p["conv2"]["kernel"])
        x = y + (conv(shortcut, p["shortcut"]["kernel"], stride) if i else shortcut)
    features = lrelu(norm(x, "norm")).mean((1, 2))
    return features, features @ params["head"]["kernel"] + params["head"]["bias"]


@pytest.fixture(scope="module")
def network():
    model = WideResNet(5, depth=10, width=1)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype(np.float32)
    variables = jax.jit(functools.partial(model.init, train=False))(jax.random.key(0), images)
    leaves, tree = jax.tree.flatten(variables)
    rng = np.random.default_rng(1)  # so that no scale, bias or statistic is 0 or 1
    leaves = [x + np.float32(0.1) * rng.uniform(0.5, 1, x.shape).astype(np.float32) for x in leaves]
    return model, jax.tree.unflatten(tree, leaves), images


@pytest.mark.parametrize("train", [False, True])
def test_forward_against_numpy(network, train):
    model, variables, images = network
    apply = functools.partial(model.apply, train=train, mutable=["batch_stats"])
    (features, logits), _ = jax.jit(apply)(variables, images)
    expected = _numpy_network(variables, np.float64(images), train)
    np.testing.assert_allclose(features, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", problems.CASES)
@pytest.mark.parametrize("form", problems.FORMS)
def test_forms_against_pytorch(form, case):
    """The same weights in PyTorch: see make_wide_resnet_fixture.py."""
    expected = np.load(Path(__file__).parent / "wide_resnet.npz")
    depth, width = problems.CASES[case]
    model = WideResNet(problems.CLASSES, depth, width, form=form)
    variables = problems.variables(form, depth, width)

    @functools.partial(jax.jit, static_argnums=1)
    def run(variables, train):
        return model.apply(variables, problems.images(), train, mutable=["batch_stats"])[0]

    for mode in ("eval", "train"):
        for name, x in zip(("features", "logits"), run(variables, mode == "train"), strict=True):
            y = expected[f"{form}, {case}, {mode}, {name}"]
            np.testing.assert_allclose(x, y, atol=1e-5 * np.abs(y).max(), err_msg=f"{mode} {name}")


def test_biases_start_as_in_pytorch():
    """Uniform, within one over the root of the number of inputs."""
    init = jax.jit(functools.partial(WideResNet(3, 10, 1, form="torchssl").init, train=False))
    params = init(jax.random.key(0), jnp.zeros((1, 4, 4, 3)))["params"]
    for layer, inputs in ((params["stem"], 27), (params["group2_block0"]["conv2"], 9 * 64)):
        x = np.sqrt(inputs) * np.asarray(layer["bias"])
        assert np.abs(x).max() < 1 and x.min() < 0 < x.max()
        assert np.std(x) == pytest.approx(1 / np.sqrt(3), rel=0.3)


def test_head(network):
    model, variables, images = network
    features, logits = jax.jit(functools.partial(model.apply, train=False))(variables, images)
    w, b = of_linen(model).head_of(variables["params"])
    np.testing.assert_allclose(features @ w.T + b[None], logits, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_close_to_float32(network):
    model, variables, images = network
    half = model.clone(dtype=jnp.bfloat16)
    run = lambda m: jax.jit(functools.partial(m.apply, train=False))(variables, images)[0]  # noqa: E731
    with jax.numpy_dtype_promotion("standard"):  # flax mixes dtypes in BatchNorm
        plain, rounded = run(model), run(half)
    assert rounded.dtype == jnp.float32
    np.testing.assert_allclose(rounded, plain, rtol=0.1, atol=0.05)
    assert np.any(np.asarray(rounded) != np.asarray(plain))
