"""CLIP against open_clip; weights from files, tokens, images; messages for invalid files."""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from infojax.data import image_text
from infojax.errors import UserError
from infojax.models import clip_weights
from tests.models import clip_problems as problems

FIXTURE = Path(__file__).parent / "open_clip.npz"
HEADS = {"vision_heads": problems.VISION["heads"], "text_heads": problems.TEXT["heads"]}


@pytest.fixture(scope="module")
def expected():
    with np.load(FIXTURE) as file:
        return dict(file)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    save_file(problems.state_dict(), path)
    return path


@functools.cache
def encoders(path, quick_gelu):
    """Compiled `images -> features` and `tokens, context -> features`."""
    model, params = clip_weights.load(path, quick_gelu, **HEADS)
    bind = lambda method: jax.jit(  # noqa: E731
        functools.partial(model.apply, {"params": params}, method=method)
    )
    return bind("encode_image"), bind("encode_text")


# Towers


@pytest.mark.parametrize("quick_gelu", [False, True])
def test_towers_equal_open_clip(weights, expected, quick_gelu):
    encode_image, encode_text = encoders(weights, quick_gelu)
    images = encode_image(problems.images())
    texts = encode_text(problems.tokens())
    np.testing.assert_allclose(images, expected[f"images_{quick_gelu}"], atol=1e-4)
    np.testing.assert_allclose(texts, expected[f"texts_{quick_gelu}"], atol=1e-4)
    for name in ("images", "texts"):  # the two activations differ by far more
        difference = expected[f"{name}_False"] - expected[f"{name}_True"]
        assert np.max(np.abs(difference)) > 0.01


def test_every_weight_matters(weights):
    """The comparison with open_clip would reveal a wrong value in any array."""
    model, params = clip_weights.load(weights, False, **HEADS)

    def outputs(params):
        return model.apply({"params": params}, problems.images()[:1], problems.tokens())

    rng = np.random.default_rng(0)
    gradient = jax.grad(
        lambda p: sum(jnp.sum(x * rng.normal(size=x.shape).astype(np.float32)) for x in outputs(p))
    )
    slopes = jax.tree.map(lambda x: float(jnp.max(jnp.abs(x))), jax.jit(gradient)(params))
    assert slopes.pop("logit_scale") == 0  # it scales the logits, not the features
    assert min(jax.tree.leaves(slopes)) > 1e-3
    assert params["logit_scale"] == problems.state_dict()["logit_scale"]


def test_nothing_after_the_end_of_a_text_matters(weights):
    _, encode_text = encoders(weights, True)
    tokens = problems.tokens()[:3]  # the longest ends at the ninth token
    whole = encode_text(tokens)
    np.testing.assert_allclose(encode_text(tokens[:, :9]), whole, atol=1e-5)
    other = np.where(np.arange(tokens.shape[1]) > 8, 7, tokens)
    np.testing.assert_allclose(encode_text(other), whole, atol=1e-5)


def test_context_replaces_embeddings(weights):
    """A context of the embeddings of some tokens gives the features of a text of these tokens."""
    _, encode_text = encoders(weights, False)
    tokens = problems.tokens()[2:]  # longer than the context
    table = problems.state_dict()["token_embedding.weight"]
    replaced = tokens.copy()
    replaced[:, 1:5] = [3, 141, 59, 26]
    got = encode_text(tokens, table[[3, 141, 59, 26]])
    np.testing.assert_allclose(got, encode_text(replaced), atol=1e-5)
    assert np.max(np.abs(got - encode_text(tokens))) > 0.1


# Files


def test_architecture_is_inferred_from_the_weights(weights):
    model, params = clip_weights.load(weights, **HEADS)
    a = model.architecture
    assert (a.embed_dim, a.image_size, a.patch_size) == (24, 24, 8)
    assert (a.vision, a.text) == ((32, 2, 2), (48, 3, 4))
    assert (a.context_length, a.vocab_size, a.quick_gelu) == (12, 300, False)
    assert all(x.dtype == jnp.float32 for x in jax.tree.leaves(params))


def saved(tmp_path, **changes):
    """A file of weights with some arrays changed; None removes an array."""
    state = {**problems.state_dict(), **{k.replace("__", "."): v for k, v in changes.items()}}
    path = tmp_path / "changed.safetensors"
    save_file({name: array for name, array in state.items() if array is not None}, path)
    return path


def test_archives_of_openai_have_quick_gelu_and_half_precision(tmp_path):
    state = {k: v.astype(np.float16) for k, v in problems.state_dict().items()}
    state |= {"input_resolution": np.array(24), "context_length": np.array(12)}
    path = tmp_path / "openai.safetensors"
    save_file({**state, "vocab_size": np.array(300)}, path)
    model, params = clip_weights.load(path, **HEADS)
    assert model.architecture.quick_gelu
    assert not clip_weights.load(path, False, **HEADS)[0].architecture.quick_gelu
    kernel = params["visual"]["resblock_1"]["c_fc"]["kernel"]
    assert kernel.dtype == jnp.float32
    name = "visual.transformer.resblocks.1.mlp.c_fc.weight"
    np.testing.assert_array_equal(kernel, state[name].T)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"visual__conv1__weight": None, "visual__layer1__0__conv1__weight": np.ones(3)},
            "holds weights of a CLIP with a ResNet; infojax loads CLIP models with a vision",
        ),
        ({"text_projection": None}, r"holds weights without 'text_projection'; infojax loads CLIP"),
        (
            {"visual__transformer__resblocks__0__ls_1__gamma": np.ones(32, np.float32)},
            "does not match a CLIP .*: visual/resblock_0/ls_1/gamma is unexpected",
        ),
        ({"visual__ln_pre__weight": None}, "visual/ln_pre/scale is missing"),
        (
            {"transformer__resblocks__2__mlp__c_fc__weight": np.ones((96, 48), np.float32)},
            r"text/resblock_2/c_fc/kernel has shape \(48, 96\), not \(48, 192\)",
        ),
    ],
)
def test_another_architecture(tmp_path, changes, message):
    with pytest.raises(UserError, match=message) as error:
        clip_weights.load(saved(tmp_path, **changes), **HEADS)
    assert "\n" not in str(error.value)


def test_heads_must_divide_the_width(weights):
    with pytest.raises(UserError, match="image tower's width 32 is not divisible by 0 heads"):
        clip_weights.load(weights)
    with pytest.raises(UserError, match="text tower's width 48 is not divisible by 5 heads"):
        clip_weights.load(weights, vision_heads=2, text_heads=5)


def test_missing_and_broken_files(tmp_path):
    with pytest.raises(UserError, match=r"there are no weights at .*none\.safetensors"):
        clip_weights.load(tmp_path / "none.safetensors")
    path = tmp_path / "broken.safetensors"
    path.write_bytes(b"not at all")
    with pytest.raises(UserError, match=r"broken\.safetensors cannot be read: ") as error:
        clip_weights.load(path)
    assert "\n" not in str(error.value)


def test_files_of_torch_need_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torch", None)
    (tmp_path / "clip.pt").write_bytes(b"")
    with pytest.raises(UserError, match=r"clip\.pt needs torch: pip install torch, or convert it"):
        clip_weights.load(tmp_path / "clip.pt")


# Texts and pictures


def test_tokens_equal_those_of_open_clip(expected):
    pytest.importorskip("instant_clip_tokenizer", reason="has wheels for Python 3.11 and 3.12")
    np.testing.assert_array_equal(image_text.tokenize(problems.PROMPTS), expected["tokens"])
    short = image_text.tokenize(["a photo of a cat"], 5)
    np.testing.assert_array_equal(short, [[49406, 320, 1125, 539, 49407]])


def test_text_without_a_tokenizer(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "instant_clip_tokenizer", None)
    with pytest.raises(UserError, match="need a tokenizer: pip install instant-clip-tokenizer"):
        image_text.tokenize(["a"])


def test_pixels_equal_those_of_open_clip(expected):
    for picture, pixels in zip(problems.pictures(), expected["pixels"], strict=True):
        got = image_text.preprocess(picture, problems.IMAGE_SIZE)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, pixels, atol=1e-6)


def test_find_images(tmp_path):
    for name in ("tall_grass/b.png", "tall_grass/deep/a.JPG", "sea/c.jpeg", "sea/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".txt":
            path.write_text("no image")
        else:
            Image.new("RGB", (40, 30), (255, 0, 0)).save(path)
    (tmp_path / "readme.md").write_text("no class")
    paths, labels, names = image_text.find_images(tmp_path)
    assert [p.relative_to(tmp_path).as_posix() for p in paths] == [
        "sea/c.jpeg",
        "tall_grass/b.png",
        "tall_grass/deep/a.JPG",
    ]
    np.testing.assert_array_equal(labels, [0, 1, 1])
    assert names == ("sea", "tall grass")
    pixels = image_text.preprocess(image_text.read_image(paths[1]), 8)
    np.testing.assert_allclose(pixels[0, 0], [1.930336, -1.752097, -1.480220], atol=1e-5)


def test_directories_and_files_without_images(tmp_path):
    for directory in (tmp_path / "there", tmp_path):
        with pytest.raises(UserError, match="must be a directory with one subdirectory per class"):
            image_text.find_images(directory)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty holds no images \(.bmp, "):
        image_text.find_images(tmp_path)
    (tmp_path / "empty" / "a.png").write_bytes(b"text")
    with pytest.raises(UserError, match=r"a\.png cannot be read as an image"):
        image_text.read_image(tmp_path / "empty" / "a.png")


# Only where open_clip or torch is installed


def test_stored_numbers_are_those_of_open_clip(expected):
    pytest.importorskip("open_clip", reason="open_clip is not installed; stored outputs are used")
    from tests.models import make_clip_fixture

    for name, array in make_clip_fixture.outputs().items():
        np.testing.assert_allclose(array, expected[name], atol=1e-5)


def test_files_of_torch(tmp_path, expected):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    state = {k: torch.tensor(v) for k, v in problems.state_dict().items()}
    torch.save(state, tmp_path / "plain.bin")
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "train.pt")
    for name in ("plain.bin", "train.pt"):
        encode_image, _ = encoders(tmp_path / name, False)
        got = encode_image(problems.images())
        np.testing.assert_allclose(got, expected["images_False"], atol=1e-4)
    (tmp_path / "broken.pt").write_bytes(b"not at all")
    with pytest.raises(UserError, match=r"broken\.pt is not a torch file that holds only weights"):
        clip_weights.load(tmp_path / "broken.pt")


@pytest.mark.filterwarnings("ignore:.*torch.jit")
def test_archives_of_torchscript(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    module = torch.nn.Linear(2, 3)
    module.register_buffer("input_resolution", torch.tensor(24))
    torch.jit.script(module).save(tmp_path / "archive.pt")
    state = clip_weights.read_state_dict(tmp_path / "archive.pt")
    np.testing.assert_array_equal(state["weight"], module.weight.detach().numpy())
    assert state.keys() == {"weight", "bias", "input_resolution"}
