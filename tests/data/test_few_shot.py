"""Files of features, draws of shots and batches, and the messages for invalid files."""

import os
from pathlib import Path

import numpy as np
import pytest

from infojax.data import few_shot
from infojax.errors import UserError
from tests import features as small

REAL = Path(os.environ.get("INFOJAX_CROSSMODAL_DIR", "../shared/crossmodal"))


@pytest.fixture
def features(tmp_path):
    return few_shot.load(tmp_path, small.write(tmp_path))


def test_load(features):
    arrays = small.arrays()
    assert features.name == "small"
    assert features.images.dtype == features.texts.dtype == features.prompts.dtype == np.float32
    np.testing.assert_array_equal(features.images, arrays["image_features"])
    np.testing.assert_array_equal(features.texts, arrays["text_features_mean"])
    np.testing.assert_array_equal(features.prompts, arrays["text_features"])
    np.testing.assert_array_equal(features.labels, arrays["labels"])
    np.testing.assert_array_equal(features.test, arrays["test_idx"])
    assert features.class_names == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize("shots", [1, 3])
def test_shots_of_each_class(features, shots):
    drawn = few_shot.draw_shots(features, shots, seed=4)
    for images, count in ((drawn.train, shots), (drawn.validation, min(shots, 4))):
        np.testing.assert_array_equal(features.labels[images], np.repeat(np.arange(3), count))
    both = np.concatenate(drawn)
    assert len(set(both)) == len(both) and set(both) <= set(features.train)


def test_validation_has_at_most_four_images_per_class(tmp_path):
    arrays = small.arrays(per_class=24)
    np.savez(tmp_path / "more.npz", **arrays)
    drawn = few_shot.draw_shots(few_shot.load(tmp_path, "more"), 7, seed=0)
    assert (len(drawn.train), len(drawn.validation)) == (21, 12)


def test_shots_depend_on_the_seed_and_are_nested(features):
    draws = {(s, k): few_shot.draw_shots(features, k, s).train for s in range(8) for k in (1, 3)}
    assert len({tuple(draws[s, 3]) for s in range(8)}) == 8
    for s in range(8):
        assert set(draws[s, 1]) < set(draws[s, 3])
        np.testing.assert_array_equal(draws[s, 3], few_shot.draw_shots(features, 3, s).train)


def test_batches_are_epochs():
    items = np.array([3, 5, 8, 13, 21, 34, 55])
    batches = few_shot.draw_batches(items, 7, 3, seed=0)
    assert batches.shape == (7, 3) and batches.dtype == np.int32
    for epoch in batches[:6].reshape(3, 6):  # two batches per epoch, one item left over
        assert len(set(epoch)) == 6 and set(epoch) <= set(items)
    assert len({tuple(epoch) for epoch in batches[:6].reshape(3, 6)}) == 3
    np.testing.assert_array_equal(batches, few_shot.draw_batches(items, 7, 3, seed=0))
    assert np.any(batches != few_shot.draw_batches(items, 7, 3, seed=1))


def test_batches_of_few_items_are_padded():
    batches = few_shot.draw_batches(np.array([2, 4]), 5, 3, seed=0)
    assert batches.shape == (5, 3)
    np.testing.assert_array_equal(np.sort(batches, 1), [[-1, 2, 4]] * 5)


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"no features at .*there\.npz: set --config.data_dir"):
        few_shot.load(tmp_path, "there")


def test_too_few_images_for_the_shots(features):
    few_shot.draw_shots(features, 3, seed=0)
    message = (
        r"small: class 'class 0' has 7 training images, fewer than 4 shots and 4 for validation; "
        "use fewer shots"
    )
    with pytest.raises(UserError, match=message):
        few_shot.draw_shots(features, 4, seed=0)


def changed(key, change):
    return {key: change(small.arrays()[key])}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            changed("image_features", lambda x: small.normalised(x[:, :8].astype(np.float32))),
            "image_features have dimension 8, text_features 12; they must come from the same model",
        ),
        (changed("labels", lambda y: y + 1), "label 3 has no text: there are 3 classes"),
        (changed("labels", lambda y: y[:-1]), "41 labels for 42 image_features"),
        (changed("labels", lambda y: y.astype(float)), "labels must be integers, got float64"),
        (
            changed("image_features", lambda x: 2 * x),
            "image_features must be normalised to length 1, but one has length 2",
        ),
        (
            changed("text_features_mean", lambda x: np.where(x == x[1, 1], np.nan, x)),
            "text_features_mean must be normalised to length 1, but one has length nan",
        ),
        (changed("class_names", lambda x: x[:2]), "have 3 classes, but class_names has 2"),
        (changed("text_features", lambda x: x[0]), "must be a non-empty array of 3 dimensions"),
        (changed("test_idx", lambda i: i + 30), "test_idx holds 49, but there are 42 images"),
        (changed("test_idx", lambda i: i * 0 + small.arrays()["train_idx"][0]), "is in both"),
    ],
)
def test_bad_file(tmp_path, changes, message):
    small.write(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as error:
        few_shot.load(tmp_path, "small")
    assert "\n" not in str(error.value) and "small.npz" in str(error.value)


def test_file_without_an_array(tmp_path):
    arrays = small.arrays()
    del arrays["text_features_mean"]
    np.savez(tmp_path / "part.npz", **arrays)
    with pytest.raises(UserError, match="has no array 'text_features_mean'; it must have"):
        few_shot.load(tmp_path, "part")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 truncated", b"text"])
def test_file_that_is_not_npz(tmp_path, content):
    (tmp_path / "broken.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"broken\.npz cannot be read as \.npz"):
        few_shot.load(tmp_path, "broken")


@pytest.mark.skipif(not REAL.is_dir(), reason="the features of WHU-RS19 are missing")
@pytest.mark.parametrize(
    ("name", "d", "accuracy"),
    [
        ("whurs19_clip_rn50", 1024, 71.3),
        ("whurs19_clip_vitb32", 512, 81.1),
        ("whurs19_clip_vitl14", 768, 85.5),
        ("whurs19_remoteclip_vitb32", 512, 95.2),
    ],
)
def test_zero_shot_accuracy_of_the_real_features(name, d, accuracy):
    features = few_shot.load(REAL, name)
    assert features.images.shape == (1005, d) and features.prompts.shape == (106, 19, d)
    hits = np.argmax(features.images @ features.texts.T, 1) == features.labels
    assert abs(100 * np.mean(hits) - accuracy) < 0.2
