"""Features of a directory of images, by infojax's CLIP and by open_clip, and their split."""

import sys

import jax
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from infojax.data import few_shot, image_text
from infojax.errors import UserError
from infojax.models import clip_weights
from launch import extract_features
from tests import features as small
from tests.models import clip_problems as problems

pytest.importorskip("instant_clip_tokenizer", reason="has wheels for Python 3.11 and 3.12 only")


@pytest.fixture
def directory(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("sea", "tall_grass"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(4):
            pixels = rng.integers(0, 256, (20, 30, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    return tmp_path / "images"


@pytest.fixture(scope="module")
def whole_vocabulary(tmp_path_factory):
    """Weights with heads of width 64 and the tokenizer's vocabulary."""
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    state = problems.state_dict(
        vision={"width": 64, "layers": 1, "heads": 1},
        text={"width": 64, "layers": 1, "heads": 1},
        context=16,
        vocabulary=49_408,
    )
    save_file(state, path)
    return path


def test_features_of_a_directory(directory, whole_vocabulary, tmp_path, capsys):
    (tmp_path / "prompts.txt").write_text("an image of\n\na view of the\n")
    out = tmp_path / "own.npz"
    arguments = [str(directory), str(out), f"--checkpoint={whole_vocabulary}"]
    assert extract_features.main([*arguments, f"--prompts={tmp_path / 'prompts.txt'}"]) == 0
    assert capsys.readouterr() == (f"{out}\n", "")
    features = few_shot.load(tmp_path, "own")
    assert features.images.shape == (8, 24) and features.prompts.shape == (2, 2, 24)
    assert features.class_names == ("sea", "tall grass")
    np.testing.assert_array_equal(features.labels, [0] * 4 + [1] * 4)
    np.testing.assert_array_equal(np.bincount(features.labels[features.train]), [2, 2])
    model, params = clip_weights.load(whole_vocabulary)
    encode = jax.jit(model.apply, static_argnames="method")
    picture = image_text.read_image(directory / "tall_grass" / "2.png")
    pixels = image_text.preprocess(picture, problems.IMAGE_SIZE)[None]
    expected = small.normalised(
        np.asarray(encode({"params": params}, pixels, method="encode_image"))
    )
    np.testing.assert_allclose(features.images[6], expected[0], atol=1e-5)
    tokens = image_text.tokenize(["a view of the sea"], 16)
    expected = small.normalised(
        np.asarray(encode({"params": params}, tokens, method="encode_text"))
    )
    np.testing.assert_allclose(features.prompts[1, 0], expected[0], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either --model and --pretrained, or --checkpoint"),
        (["--model=ViT-B-32"], "--model needs --pretrained: a tag of open_clip, or a file"),
        (["--checkpoint=none.safetensors"], "there are no weights at none.safetensors"),
        (["--checkpoint=none.safetensors", "--train-fraction=1"], "there are no weights at"),
    ],
)
def test_features_that_cannot_be_made(directory, tmp_path, capsys, arguments, message):
    out = tmp_path / "own.npz"
    assert extract_features.main([str(directory), str(out), *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"launch.extract_features: {message}")
    assert not out.exists()


def test_open_clip_that_is_not_installed(directory, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    arguments = [str(directory), str(tmp_path / "own.npz"), "--model=RN50", "--pretrained=openai"]
    assert extract_features.main(arguments) == 2
    assert "pip install open_clip_torch (or use --checkpoint)" in capsys.readouterr().err


def test_features_by_open_clip(directory, tmp_path):
    """Equal to features by infojax's CLIP from the same weights."""
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = open_clip.create_model("ViT-B-32", pretrained=None)
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    ours, theirs = tmp_path / "ours.npz", tmp_path / "theirs.npz"
    weights = tmp_path / "weights.pt"
    assert extract_features.main([str(directory), str(ours), f"--checkpoint={weights}"]) == 0
    arguments = [str(directory), str(theirs), "--model=ViT-B-32", f"--pretrained={weights}"]
    assert extract_features.main(arguments) == 0
    with np.load(ours) as a, np.load(theirs) as b:
        for name in a:
            if a[name].dtype == np.float32:
                np.testing.assert_allclose(a[name], b[name], atol=1e-4)
            else:
                np.testing.assert_array_equal(a[name], b[name])


def test_split():
    labels = np.repeat([0, 1, 2], [10, 4, 2])
    train_part, test_part = few_shot.split(labels, 0.7, seed=0)
    np.testing.assert_array_equal(np.bincount(labels[train_part]), [7, 3, 1])
    np.testing.assert_array_equal(np.sort([*train_part, *test_part]), np.arange(16))
    assert not np.array_equal(train_part, few_shot.split(labels, 0.7, seed=1)[0])
    with pytest.raises(UserError, match="train_fraction must lie strictly between 0 and 1, got 1"):
        few_shot.split(labels, 1.0, seed=0)
    with pytest.raises(UserError, match="class 3 has a single image"):
        few_shot.split(np.array([0, 0, 3]), 0.5, seed=0)
