import jax
import jax.numpy as jnp
import numpy as np
import pytest

from infojax.data.augment import flip_and_crop

IMAGES = np.random.default_rng(0).integers(0, 256, (7, 6, 10, 3), np.uint8)
INDEX = np.arange(400) % 7


def _all_crops(image, pad, flip):
    """Every crop of the reflect-padded image, and its mirror image, by NumPy."""
    h, w, _ = image.shape
    padded = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), mode="reflect")
    for y in range(2 * pad + 1):
        for x in range(2 * pad + 1):
            crop = padded[y : y + h, x : x + w]
            yield (y, x, False), crop
            if flip:
                yield (y, x, True), crop[:, ::-1]


@pytest.mark.parametrize(("pad", "flip"), [(0, False), (0, True), (2, False), (4, True)])
def test_crops_of_the_padded_image(pad, flip):
    """Each result is a possible crop, and all crops are about equally frequent."""
    key, positions = jax.random.key(1), jnp.arange(400)
    found = np.asarray(flip_and_crop(key, jnp.asarray(IMAGES), INDEX, positions, pad, flip))
    assert found.dtype == np.uint8
    possible = [
        {crop.tobytes(): name for name, crop in _all_crops(image, pad, flip)} for image in IMAGES
    ]
    seen = [possible[i][image.tobytes()] for i, image in zip(INDEX, found, strict=True)]
    number = (2 * pad + 1) ** 2 * (1 + flip)
    assert len(set(seen)) > 0.85 * min(number, 400)
    mirrored = np.mean([name[2] for name in seen])
    assert abs(mirrored - 0.5 * flip) < 0.1
    if pad:
        assert abs(np.mean([name[0] for name in seen]) - pad) < 0.15 * pad
        assert abs(np.mean([name[1] for name in seen]) - pad) < 0.15 * pad


def test_depends_only_on_key_and_position():
    images = jnp.asarray(IMAGES)
    whole = flip_and_crop(jax.random.key(5), images, INDEX, jnp.arange(400), 2, True)
    part = flip_and_crop(jax.random.key(5), images, INDEX[70:90], jnp.arange(70, 90), 2, True)
    np.testing.assert_array_equal(part, whole[70:90])
    other = flip_and_crop(jax.random.key(6), images, INDEX, jnp.arange(400), 2, True)
    assert np.any(np.asarray(other) != np.asarray(whole))
