"""RandAugment against Pillow, bit for bit, and the distribution of its draws."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from benchmarks import reference_augmentation
from infojax.data import operations, randaugment
from infojax.data.operations import LEVELS, Operation


def pillow(image, operation, level):
    grey = image.shape[-1] == 1
    before = Image.fromarray(image.squeeze(-1) if grey else image)
    after = np.asarray(reference_augmentation.operate(before, operation, level))
    return after[..., None] if grey else after


def images(n, height, width, seed=0):
    """Images of varied histograms: noise, ramps, narrow ranges, two values, one colour."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (n, height, width, 3))
    ramp = np.linspace(0, 1, width)[None, None, :, None] * rng.uniform(20, 255, (n, 1, 1, 3))
    low = rng.integers(0, 200, (n, 1, 1, 3))
    span = rng.integers(1, 56, (n, 1, 1, 3))
    kinds = [noise, ramp, low + noise % span, low + 40 * (noise > 200), low + 0 * noise]
    return np.choose(np.arange(n)[:, None, None, None] % 5, kinds).astype(np.uint8)


one_round = jax.jit(randaugment._one_operation_each)


def mismatches(x, chosen, levels):
    """Number of differing bytes by operation."""
    got = one_round(jnp.asarray(x), jnp.asarray(chosen, "int32"), jnp.asarray(levels, "int32"))
    found = dict.fromkeys(Operation, 0)
    for i, (operation, level) in enumerate(zip(chosen, levels, strict=True)):
        found[Operation(operation)] += np.sum(got[i] != pillow(x[i], operation, level))
    return found


@pytest.mark.parametrize(
    ("height", "width", "channels", "n"),
    [(32, 32, 3, 1120), (11, 14, 3, 560), (2, 5, 3, 140), (20, 20, 1, 560)],
)
def test_operations_equal_pillow(height, width, channels, n):
    """COLOR leaves grey images unchanged; images under three pixels wide are not smoothed."""
    rng = np.random.default_rng(1)
    x = images(n, height, width)[..., :channels]
    chosen = np.arange(n) // 5 % 14  # each on each kind of image
    levels = rng.integers(0, LEVELS, n)
    levels[:70], levels[70:140] = 0, LEVELS - 1
    assert mismatches(x, chosen, levels) == dict.fromkeys(Operation, 0)


def test_auto_contrast_rounds_like_doubles():
    """A ramp of all values from low to high; for some, Pillow's maximum is 254 instead of 255."""
    rng = np.random.default_rng(2)
    low = rng.integers(0, 250, 1120 * 3)
    high = low + 1 + rng.integers(0, 255 - low)
    x = np.clip(np.arange(1024) % 256, low[:, None], high[:, None]).astype(np.uint8)
    x = x.reshape(1120, 3, 32, 32).transpose(0, 2, 3, 1)
    chosen = np.full(1120, Operation.AUTO_CONTRAST)
    assert mismatches(x, chosen, np.zeros(1120, int))[Operation.AUTO_CONTRAST] == 0
    largest = np.stack([pillow(image, chosen[0], 0) for image in x[:100]]).max((1, 2))
    assert set(largest.ravel()) == {254, 255}


@pytest.mark.parametrize("operation", [o for o in Operation if o != Operation.IDENTITY])
def test_magnitudes_span_their_range(operation):
    low, high = {
        Operation.ROTATE: (-30, 30),
        Operation.POSTERIZE: (4, 8),
        Operation.SOLARIZE: (0, 256),
        Operation.AUTO_CONTRAST: (0, 0),
        Operation.EQUALIZE: (0, 0),
        **dict.fromkeys([Operation.SHEAR_X, Operation.SHEAR_Y], (-0.3, 0.3)),
        **dict.fromkeys([Operation.TRANSLATE_X, Operation.TRANSLATE_Y], (-0.3, 0.3)),
    }.get(operation, (0.05, 0.95))
    v = operations.magnitude(operation, np.arange(LEVELS))
    middle = low + (high - low) * (np.arange(LEVELS) + 0.5) / LEVELS
    np.testing.assert_allclose(v, middle, atol=2**-17)


def test_everything_equals_pillow():
    x, key = images(150, 32, 32), jax.random.key(3)
    draws = jax.jit(randaugment.draw)(key, jnp.arange(150))
    got = jax.jit(randaugment.apply)(draws, x)
    assert got.dtype == jnp.uint8
    drawn = zip(x, *map(np.asarray, draws), strict=True)
    expected = np.stack([reference_augmentation.augment(*arguments) for arguments in drawn])
    np.testing.assert_array_equal(got, expected)
    assert np.mean(np.any(expected != x, (1, 2, 3))) > 0.98


@pytest.mark.parametrize(("height", "width", "channels"), [(32, 32, 3), (11, 14, 3), (14, 11, 1)])
def test_cutout_equals_pillow(height, width, channels):
    x = images(300, height, width)[..., :channels]
    levels = np.random.default_rng(5).integers(0, LEVELS, (300, 3))
    levels[:8] = np.stack(np.meshgrid(*[[0, LEVELS - 1]] * 3), -1).reshape(8, 3)
    got = np.asarray(jax.jit(jax.vmap(randaugment._cut_out))(x, levels.astype(np.int32)))
    for image, drawn, result in zip(x, levels, got, strict=True):
        squeezed = image.squeeze(-1) if channels == 1 else image
        expected = reference_augmentation.cut_out(Image.fromarray(squeezed), drawn)
        np.testing.assert_array_equal(result.squeeze(), expected)
        assert np.any(result == 123)


# The contract of augment


KEY = jax.random.key(4)
augment = jax.jit(randaugment.augment)


def test_image_depends_only_on_its_own_position():
    x, at = jnp.asarray(images(24, 8, 8)), 1000 + jnp.arange(24)
    whole = augment(KEY, x, at)
    for part in (slice(12), slice(7, 19), slice(0, 24, 2)):
        np.testing.assert_array_equal(augment(KEY, x[part], at[part]), whole[part])
    assert jnp.all(whole[:12] == augment(KEY, x.at[12:].set(0), at)[:12])
    same = augment(KEY, jnp.broadcast_to(x[:1], x.shape), at)  # one image, 24 augmentations
    assert len(np.unique(same.reshape(24, -1), axis=0)) == 24
    assert jnp.mean(jnp.any(whole != augment(jax.random.key(5), x, at), (1, 2, 3))) > 0.9


def test_vmap_equals_a_loop_and_computes_one_branch():
    x, at = jnp.asarray(images(24, 8, 8).reshape(2, 12, 8, 8, 3)), jnp.arange(12)
    keys = jax.random.split(KEY)
    mapped = jax.vmap(randaugment.augment, (0, 0, None))
    got = jax.jit(mapped)(keys, x, at)
    for i in range(2):
        np.testing.assert_array_equal(got[i], augment(keys[i], x[i], at))
    same_draws = jax.jit(jax.vmap(randaugment.augment, (None, 0, None)))(KEY, x, at)
    np.testing.assert_array_equal(same_draws[1], augment(KEY, x[1], at))
    jaxpr = str(jax.make_jaxpr(mapped)(keys, x, at))
    assert jaxpr.count("cond[") == 1  # a naive vmap makes it a select, which computes every branch


def test_replicas_equal_one_device():
    x, at = jnp.asarray(images(24, 8, 8)), jnp.arange(24)
    replica = jax.pmap(lambda x, at: randaugment.augment(KEY, x, at))
    got = replica(x.reshape(2, 12, 8, 8, 3), at.reshape(2, 12))
    np.testing.assert_array_equal(got.reshape(x.shape), augment(KEY, x, at))


def test_floating_images():
    x, at = jnp.asarray(images(24, 8, 8)), jnp.arange(24)
    real = x.astype(jnp.float32) / 255
    expected = augment(KEY, x, at).astype(jnp.float32) / 255
    got = augment(KEY, real, at)
    assert got.dtype == jnp.float32
    np.testing.assert_array_equal(got, expected)
    broken = augment(KEY, real.at[3, 2, 1, 0].set(jnp.nan), at)
    assert jnp.all(jnp.isnan(broken[3]))
    np.testing.assert_array_equal(jnp.delete(broken, 3, 0), jnp.delete(expected, 3, 0))


def test_draws_do_not_depend_on_x64():
    expected = randaugment.draw(KEY, jnp.arange(5, dtype=jnp.int32))
    with jax.enable_x64(True):
        jax.tree.map(
            np.testing.assert_array_equal,
            randaugment.draw(KEY, jnp.arange(5, dtype=jnp.int32)),
            expected,
        )


def test_draws_are_uniform():
    """Counts within four standard deviations; with replacement; independent of each other."""
    draws = jax.jit(randaugment.draw)(KEY, jnp.arange(20_000))
    assert draws.operations.shape == draws.levels.shape == draws.cutout.shape == (20_000, 3)
    for k in range(3):
        counts = np.bincount(draws.operations[:, k], minlength=14)
        assert np.all(np.abs(counts - 20_000 / 14) < 4 * np.sqrt(20_000 / 14))
    for levels in (*draws.levels.T, *draws.cutout.T):
        counts = np.bincount(np.asarray(levels) // (LEVELS // 16), minlength=16)
        assert len(counts) == 16 and np.all(np.abs(counts - 1250) < 4 * np.sqrt(1250))
    repeated = jnp.mean(draws.operations[:, 0] == draws.operations[:, 1])
    assert abs(repeated - 1 / 14) < 4 * np.sqrt(1 / 14 / 20_000)
    columns = np.concatenate([np.asarray(x) for x in draws], 1)
    correlation = np.corrcoef(columns.T) - np.eye(9)
    assert np.max(np.abs(correlation)) < 4.5 / np.sqrt(20_000)


def test_errors_name_the_argument():
    at = jnp.arange(2)
    with pytest.raises(ValueError, match=r"images must have shape .* 3 or 1\], got \(8, 8, 3\)"):
        randaugment.augment(KEY, jnp.zeros((8, 8, 3)), at)
    with pytest.raises(ValueError, match=r"got \(2, 8, 8, 4\)"):
        randaugment.augment(KEY, jnp.zeros((2, 8, 8, 4)), at)
    with pytest.raises(ValueError, match=r"images must be uint8 or floating .*int32"):
        randaugment.augment(KEY, jnp.zeros((2, 8, 8, 3), int), at)
    with pytest.raises(ValueError, match=r"positions must be integers of shape \(2,\), .*\(3,\)"):
        randaugment.augment(KEY, jnp.zeros((2, 8, 8, 3)), jnp.arange(3))
