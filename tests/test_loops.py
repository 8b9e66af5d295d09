"""The examples of docs/loops.md run and print what the page says."""

import re

import jax
import numpy as np
import pytest

from infojax import losses
from tests.data import snippets
from tests.launch.launcher import ROOT

PAGE = ROOT / "docs" / "loops.md"
NAMES = ("linen", "nnx", "equinox", "jax", "torch")
SOURCES = dict(zip((*NAMES, "devices"), snippets.python(PAGE), strict=True))
OUTPUTS = dict(
    zip(SOURCES, re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.M | re.S), strict=True)
)
# Libraries warn of their own and of Python's future.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def _run(name, namespace, capsys):
    """Runs an example with JAX's default promotion of dtypes and ranks; compares its output."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        exec(SOURCES[name], namespace)
    snippets.assert_printed(capsys.readouterr().out, OUTPUTS[name], atol=0.03)


@pytest.mark.parametrize("name", NAMES[:3])
def test_framework(name, capsys):
    _run(name, {}, capsys)


def test_plain_jax_on_one_device_and_on_several(capsys):
    namespace = {}
    _run("jax", namespace, capsys)
    _run("devices", namespace, capsys)
    assert namespace["devices"] == 2


def test_torch(capsys):
    """The bridge's gradients are JAX's, scaled by the gradient that arrives."""
    torch = pytest.importorskip("torch", reason="the example for PyTorch needs torch")
    namespace = {}
    _run("torch", namespace, capsys)
    z, v = (torch.randn(6, d, requires_grad=True) for d in (4, 5))
    (3 * namespace["InformationLoss"].apply(z, v, 0.2, 0.3)).backward()
    arrays = [x.detach().numpy() for x in (z, v)]
    expected = jax.grad(losses.information_loss, argnums=(0, 1))(*arrays, 0.2, 0.3)
    for found, gradient in zip((z.grad, v.grad), expected, strict=True):
        np.testing.assert_allclose(found, 3 * gradient, rtol=1e-5, atol=1e-6)


def test_examples_are_short():
    lines = {name: len(re.findall(r"\S.*", source)) for name, source in SOURCES.items()}
    assert max(lines.values()) < 40, lines
