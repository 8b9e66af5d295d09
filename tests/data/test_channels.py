"""Mean and standard deviation of channels."""

import numpy as np

from infojax.data import channels, stored


def test_counts():
    """As the pixels themselves; a channel without variation can be divided by."""
    pixels = np.random.default_rng(0).integers(0, 256, (9, 5, 4, 3), np.uint8)
    pixels[..., 1] = 7
    mean, std = channels.of_counts(stored.value_counts(pixels))
    np.testing.assert_allclose(mean, (pixels / 255).mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std[::2], (pixels / 255).std((0, 1, 2))[::2], rtol=1e-5)
    assert std[1] == 1 and mean.dtype == std.dtype == np.float32


def test_embeddings(monkeypatch):
    """In several parts, with means that exceed the spread, and at the ends of float32."""
    monkeypatch.setattr(channels, "_ROWS", 7)
    x = np.random.default_rng(0).standard_normal((50, 1, 1, 5))
    x = (x * [1, 1, 1e37, 1e-44, 0] + [0, 1e4, 0, 0, 0.1]).astype(np.float32)
    mean, std = channels.of_embeddings(x)
    exact = x.astype(np.float64)[:, 0, 0]
    np.testing.assert_allclose(mean[:3], exact.mean(0)[:3], rtol=1e-6)
    np.testing.assert_allclose(std[:3], exact.std(0)[:3], rtol=1e-6)
    assert mean[4] == np.float32(0.1) and std[3:].tolist() == [1, 1]
    assert mean.dtype == std.dtype == np.float32
