"""More classes than samples: only the head rows of the labels count, in values, memory and time."""

import math
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax import class_interplay, sample_interplay
from tests import reference

BOTH = {"sample": sample_interplay, "class": class_interplay}
SHAPES = [(30, 12, 40), (30, 3, 70)]  # the joint matrix is n x n, or d^2 x d^2


def samples(n, d, c):
    rng = np.random.default_rng(0)
    y = rng.integers(0, c, n)
    y[: n // 2] = y[n // 2 :][: n // 2]  # every class twice or more
    w = rng.normal(size=(c, d))
    return w[y] + rng.normal(size=(n, d)), y, w


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("shape", SHAPES)
def test_matches_definition(name, shape):
    z, y, w = samples(*shape)
    got = jax.jit(BOTH[name])(z.astype(np.float32), y, w.astype(np.float32))
    expected = getattr(reference, f"{name}_interplay")(z, y, w)
    np.testing.assert_allclose(got, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("shape", SHAPES)
def test_gradient(name, shape, x64):
    """By features and head; head rows of absent classes have none."""
    z, y, w = samples(*shape)
    rng = np.random.default_rng(1)
    dz, dw = rng.normal(size=z.shape), rng.normal(size=w.shape)
    by_z, by_w = jax.jit(jax.grad(lambda z, w: BOTH[name](z, y, w, 0.7).mir, (0, 1)))(z, w)
    defined = getattr(reference, f"{name}_interplay")
    slopes = [
        reference.central_difference(lambda z: defined(z, y, w, 0.7)[4], z, dz),
        reference.central_difference(lambda w: defined(z, y, w, 0.7)[4], w, dw),
    ]
    np.testing.assert_allclose([np.sum(by_z * dz), np.sum(by_w * dw)], slopes, rtol=1e-6)
    absent = np.setdiff1d(np.arange(len(w)), y)
    np.testing.assert_array_equal(by_w[absent], 0)
    assert np.all(np.any(by_w[np.unique(y)] != 0, 1))


@pytest.mark.parametrize("name", BOTH)
def test_invalid_input_gives_nan(name):
    z, y, w = (
        jnp.asarray(x, jnp.float32 if x.ndim == 2 else jnp.int32) for x in samples(30, 3, 70)
    )
    f = jax.jit(BOTH[name])
    assert np.all(np.isfinite(f(z, y, w)))
    for label in (-1, 70):
        assert np.all(np.isnan(f(z, y.at[3].set(label), w)))
    absent = np.setdiff1d(np.arange(70), y)[0]
    for bad in (math.nan, math.inf):
        assert np.all(np.isnan(f(z, y, w.at[absent, 0].set(bad))[3:]))
        assert np.all(np.isnan(f(z.at[0, 0].set(bad), y, w)[3:]))


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("gradient", [False, True])
def test_memory_of_a_language_model(name, gradient):
    """n = 4,096, d = 768, C = 50,257; a C x C matrix would take 10 GB."""
    n, d, c = 4096, 768, 50_257
    f = BOTH[name]
    if gradient:
        f = jax.grad(lambda z, y, w: BOTH[name](z, y, w).mir, (0, 2))
    kinds = [((n, d), jnp.float32), ((n,), jnp.int32), ((c, d), jnp.float32)]
    compiled = jax.jit(f).lower(*(jax.ShapeDtypeStruct(*kind) for kind in kinds)).compile()
    memory = compiled.memory_analysis()
    total = memory.temp_size_in_bytes + memory.output_size_in_bytes + memory.argument_size_in_bytes
    assert total < 1.5 * 2**30


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_eager_memory_of_a_language_model():
    """Peak of a process, n = 64. `getrusage` would count the memory of its parent too."""
    code = r"""
import re, jax, jax.numpy as jnp, numpy as np, infojax
z, w = jnp.ones((64, 768)), jnp.asarray(np.random.default_rng(0).normal(size=(50_257, 768)), "f")
y = jnp.arange(64) * 700
infojax.sample_interplay(z, y, w), infojax.class_interplay(z, y, w)
jax.grad(lambda w: infojax.sample_interplay(z, y, w).mir)(w)
print(re.search(r"VmHWM:\s+(\d+) kB", open("/proc/self/status").read())[1])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 2 * 2**20  # KiB
