"""MIR of all samples from batches: exact on its own series, and covered by its interval."""

import numpy as np
import pytest

from launch.results.extrapolation import mir_of_population


def _entropy(matrices):
    spectra = np.maximum(np.linalg.eigvalsh(matrices), 1e-300)
    return -np.sum(spectra * np.log(spectra), -1)


def _of_batches(z, v, n):
    """Entropies of z, of v and joint, of consecutive batches of n samples, [N / n, 3]."""
    products = (z[:, :, None] * v[:, None, :]).reshape(len(z), -1)
    parts = [x.reshape(-1, n, x.shape[1]) for x in (z, v, products)]
    return np.stack([_entropy(np.swapaxes(x, 1, 2) @ x / n) for x in parts], 1)


def entropies(z, v, n, rng):
    """Those, and joint with v permuted within its batch, [N / n, 4]."""
    permuted = np.concatenate([rng.permutation(part) for part in np.split(v, len(v) // n)])
    return np.column_stack([_of_batches(z, v, n), _of_batches(z, permuted, n)[:, 2]])


def population(rng, samples, d, c):
    """Unit features of c classes around random head rows, and those rows."""
    unit = lambda x: x / np.linalg.norm(x, axis=1, keepdims=True)  # noqa: E731
    w, y = rng.normal(size=(c, d)), rng.integers(0, c, samples)
    decay = rng.uniform(0, 1)
    z = (rng.uniform(0, 2) * w[y] + rng.normal(size=(samples, d))) * np.arange(1.0, d + 1) ** -decay
    coordinates = np.linalg.qr(w.T)[1].T
    return unit(z), unit(coordinates)[y]


def mir(h):
    return (h[0] + h[1] - h[2]) / min(h[0], h[1])


def extrapolate(z, v, n, groups, rng):
    used = groups * n
    by_size = [
        entropies(z[:used], v[:used], size, rng).reshape(groups, -1, 4).mean(1)
        for size in (n, n // 2)
    ]
    return mir_of_population(np.stack(by_size, 1), (n, n // 2), len(z))


def coverage(number, samples, d, c, n, groups):
    """Of populations with an interval: whether it covers, and errors before and after."""
    rng, found = np.random.default_rng(0), []
    for _ in range(number):
        z, v = population(rng, samples, d, c)
        whole = mir(_of_batches(z, v, samples)[0])
        raw = mir(_of_batches(z, v, n).mean(0)) - whole
        at = extrapolate(z, v, n, groups, rng)
        if at.half_width is not None:
            found.append((abs(at.value - whole) <= at.half_width, raw, at.value - whole))
    return np.array(found)


def _series(mir, chance, samples=500, sizes=(64, 32)):
    """Entropies whose corrected MIR is a line in u through `mir` at all samples."""
    u = 1 / np.array(sizes) - 1 / samples
    level = chance * (sizes[0] - 1) / (np.array(sizes) - 1)
    of_all = chance * (sizes[0] - 1) / (samples - 1)
    corrected = (mir - of_all) / (1 - of_all) + 2 * u
    values = level + (1 - level) * corrected
    return np.stack([np.full(2, 1.5), np.ones(2), 2.5 - values, 2.5 - level], 1)


def test_is_exact_on_a_line():
    found = mir_of_population(np.stack([_series(0.4, 0.2)] * 4), (64, 32), 500)
    assert found.value == pytest.approx(0.4, rel=1e-9)
    correction = 2 * (1 / 64 - 1 / 500) * (1 - 0.2 * 63 / 499)
    assert found.half_width == pytest.approx(correction + 0.2 * 63 / 499, rel=1e-9)  # no spread


def test_no_interval_for_batches_too_small_or_too_few():
    series = _series(0.4, 0.2)
    assert mir_of_population(np.stack([series] * 2), (64, 32), 500).half_width is None
    chancy = mir_of_population(np.stack([_series(0.4, 0.3)] * 4), (64, 32), 500)
    assert chancy.value == pytest.approx(0.4, rel=1e-9) and chancy.half_width is None


def test_interval_covers_the_population():
    found = coverage(60, 512, 6, 3, 64, 6)
    covered, raw, error = found.T
    assert len(found) >= 50
    assert np.mean(covered) >= 0.95
    assert np.mean(np.abs(error)) < np.mean(np.abs(raw)) / 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("samples", "d", "c", "n", "groups"),
    [
        (2048, 16, 5, 64, 16),
        (2048, 16, 5, 128, 8),
        (2048, 32, 8, 128, 16),
        (1024, 8, 3, 64, 16),
        (2048, 64, 4, 256, 8),
    ],
)
def test_interval_covers_larger_populations(samples, d, c, n, groups):
    found = coverage(200, samples, d, c, n, groups)
    assert len(found) > 100 and np.mean(found[:, 0]) >= 0.95


@pytest.mark.parametrize(
    "entropies", [[0.0, 2.0, 2.0, 2.0], [2.0, 0.0, 2.0, 2.0], [1.0, 2.0, 2.0, 2.0]]
)
def test_without_a_scale(entropies):
    """Constant features or head rows, and labels that no permutation changes."""
    given = np.tile(entropies, (4, 2, 1))
    assert mir_of_population(given, (64, 32), 1_000) == (None, None)
