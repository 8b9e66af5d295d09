"""Prompt learning: the loss, a context that is found again, runs; and features from directories."""

import functools
import json
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image
from safetensors.numpy import save_file

from configs import prompt_learning as configs
from infojax import training
from infojax.data import few_shot, image_text
from infojax.errors import UserError
from infojax.losses import cross_entropy, cross_modal_alignment
from infojax.models import clip_weights
from infojax.training.recorder import read_records
from launch import extract_features, prompt_learning
from tests import features as small
from tests.launch.launcher import ROOT, Launcher
from tests.models import clip_problems as problems

pytest.importorskip("instant_clip_tokenizer", reason="has wheels for Python 3.11 and 3.12 only")

CLASSES, CONTEXT = 5, 4
TOWER = {"width": 48, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """Images that lie about the text features of a hidden context."""
    path = tmp_path_factory.mktemp("weights") / "clip.safetensors"
    save_file(problems.state_dict(vision=TOWER, text=TOWER), path)
    model, params = clip_weights.load(path, vision_heads=2, text_heads=2)
    rng = np.random.default_rng(0)
    tokens = np.tile(np.array([298, 5, 5, 5, 5, 0, 299], np.int32), (CLASSES, 1))
    tokens[:, 5] = 40 + np.arange(CLASSES)
    hidden = rng.normal(size=(CONTEXT, TOWER["width"])).astype(np.float32)
    encode_text = jax.jit(functools.partial(model.apply, method="encode_text"))
    texts = small.normalised(np.asarray(encode_text({"params": params}, tokens, hidden)))
    labels = np.repeat(np.arange(CLASSES, dtype=np.int32), 12)
    noise = rng.normal(size=(len(labels), problems.EMBED_DIM)) / problems.EMBED_DIM**0.5
    images = small.normalised(texts[labels] + 0.2 * noise).astype(np.float32)
    names = tuple(f"class {c}" for c in range(CLASSES))
    split = few_shot.split(labels, 0.5, seed=0)
    features = few_shot.Features("hidden", images, labels, texts[None], texts, names, *split)
    params = {**params, "logit_scale": jnp.float32(np.log(20))}
    return prompt_learning.Problem(model, params, features, tokens, np.array([0, 0.3], np.float32))


def start(problem):
    one = 0.02 * jax.random.normal(jax.random.key(0), (CONTEXT, TOWER["width"]))
    return jnp.tile(one, (len(problem.weights), 1, 1))


@pytest.fixture(scope="module")
def encode(problem):
    return jax.jit(lambda context: prompt_learning.encode(problem, problem.params, context))


@pytest.fixture(scope="module")
def measure(problem, learned):
    return jax.jit(prompt_learning.make_measure(problem, learned[3]))


def plan_of(problem, batch_size, num_steps):
    shots = few_shot.draw_shots(problem.features, 3, seed=0)
    plan = few_shot.draw_batches(shots.train, num_steps, batch_size, seed=0)
    data = problem.params, problem.features.images, problem.features.labels
    return plan, shots, data


@pytest.fixture(scope="module")
def learned(problem):
    """Contexts after training on two devices, and the losses on the way."""
    plan, shots, data = plan_of(problem, 8, 60)
    loss_fn = prompt_learning.make_loss(problem, "classwise", 8 / 2)
    update = training.Update(loss_fn, optax.adam(0.1))
    shares = training.put_shards(plan.reshape(60, 2, 4).swapaxes(0, 1))
    data = prompt_learning.Data(*training.replicate(data), shares)
    state = training.replicate(training.init_state(update, start(problem)))
    advance = training.make_train_step(update)
    losses = []
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        for num_steps in (1, 59):
            state = advance(state, data, num_steps)
            losses.append(float(training.single(state.loss)))
    return training.single(state.params), losses, plan, shots


def test_loss_is_that_of_the_global_batch(problem, learned, encode):
    """The first loss, on two devices, against the definition on all of the batch."""
    _, losses, plan, _ = learned
    f, context = problem.features, start(problem)[0]
    texts = encode(context)
    images, y = f.images[plan[0]], f.labels[plan[0]]
    ce = jnp.mean(cross_entropy(20 * images @ texts.T, y))
    cma = cross_modal_alignment(images, texts, y)
    np.testing.assert_allclose(losses[0], ce + (0.7 * ce + 0.3 * cma), rtol=1e-5)


def test_padding_of_a_batch_changes_nothing(problem, encode):
    loss_fn = prompt_learning.make_loss(problem, "classwise", 5 / 2)
    _, shots, data = plan_of(problem, 8, 1)
    rows = np.concatenate([shots.train[[0, 4, 8, 9, 12]], [-1, -1, -1]]).astype(np.int32)
    f = training.mapped(lambda d, c: jax.lax.pmean(loss_fn(c, {}, d, 0)[0], training.AXIS))
    values = []
    for order in (rows, rows[[5, 0, 6, 1, 2, 7, 3, 4]]):  # on one device three, or two
        shares = prompt_learning.Data(*training.replicate(data), order.reshape(2, 1, 4))
        values.append(f(shares, training.replicate(start(problem)))[0])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)
    texts = encode(start(problem)[0])
    images, y = problem.features.images[rows[:5]], problem.features.labels[rows[:5]]
    ce = jnp.mean(cross_entropy(20 * images @ texts.T, y))
    expected = ce + 0.7 * ce + 0.3 * cross_modal_alignment(images, texts, y)
    np.testing.assert_allclose(values[0], expected, rtol=1e-5)


def test_contexts_are_learned(problem, learned, measure):
    contexts, losses, _, _ = learned
    assert losses[-1] < 0.5 * losses[0]
    before, after = measure(start(problem), problem.params), measure(contexts, problem.params)
    for weight in ("0", "0.3"):
        assert after[f"test/loss_{weight}"] < 0.5 * before[f"test/loss_{weight}"]
        assert after[f"test/accuracy_{weight}"] > before[f"test/accuracy_{weight}"]
    assert after["test/class_entropy_0.3"] < after["test/class_entropy_0"]
    assert after["test/class_entropy_0.3"] < before["test/class_entropy_0.3"]


def test_metrics(problem, learned, encode, measure):
    contexts, _, _, shots = learned
    got = measure(contexts, problem.params)
    f = problem.features
    for context, weight in zip(contexts, ("0", "0.3"), strict=True):
        texts = np.asarray(encode(context))
        logits = 20 * f.images @ texts.T
        hits, loss = logits.argmax(1) == f.labels, np.asarray(cross_entropy(logits, f.labels))
        for split, images in (("validation", shots.validation), ("test", f.test)):
            np.testing.assert_allclose(got[f"{split}/accuracy_{weight}"], hits[images].mean())
            np.testing.assert_allclose(
                got[f"{split}/loss_{weight}"], loss[images].mean(), rtol=1e-3, atol=1e-5
            )
        np.testing.assert_allclose(got[f"train/accuracy_{weight}"], hits[shots.train].mean())


def test_prompts_hold_the_context_and_end_in_the_name():
    tokens = image_text.prompt_tokens(("cat", "tall grass"), 3, 20)
    np.testing.assert_array_equal(
        tokens,
        [
            [49406, 343, 343, 343, 2368, 269, 49407, 0],
            [49406, 343, 343, 343, 7771, 5922, 269, 49407],
        ],
    )
    message = (
        r"the prompt of class 'tall grass' has 8 tokens, more than the model's 7; use fewer "
        "context_tokens or a shorter name"
    )
    with pytest.raises(UserError, match=message):
        image_text.prompt_tokens(("cat", "tall grass"), 3, 7)


def test_weight_is_chosen_on_validation_images(problem):
    three = problem._replace(weights=np.array([0, 0.1, 0.5], np.float32))
    final = {"step": 9, "seconds": 1.0}
    final |= {f"test/accuracy_{n}": a for n, a in (("0", 0.5), ("0.1", 0.9), ("0.5", 0.6))}
    final |= {f"validation/accuracy_{n}": a for n, a in (("0", 0.9), ("0.1", 0.2), ("0.5", 0.4))}
    final |= {f"validation/loss_{n}": 1.0 for n in ("0", "0.1", "0.5")}
    summary = prompt_learning.summarize(three, [final])
    assert summary["alignment_weight"] == [0.5]
    assert summary["test_accuracy"]["ce_cma"]["mean"] == 0.6
    assert summary["differences"]["ce_cma - ce"]["mean"] == pytest.approx(0.1)
    tie = final | {"validation/accuracy_0.1": 0.4, "validation/loss_0.1": 0.3}
    assert prompt_learning.summarize(three, [tie])["alignment_weight"] == [0.1]


# Runs


def test_run_on_images(tmp_path):
    """Digits, encoded by a random model, through the command line."""
    launcher = Launcher(tmp_path)
    run = tmp_path / "run"
    arguments = ["--config=configs/prompt_learning.py:smoke", f"--workdir={run}"]
    arguments += ["--config.num_steps=2", "--config.checkpoint_every=2"]
    process = subprocess.run(
        [sys.executable, "-m", "launch", *arguments],
        cwd=ROOT,
        env=launcher.environment,
        capture_output=True,
        text=True,
    )
    assert (process.returncode, process.stderr) == (0, "")
    records = read_records(run)
    assert [r["step"] for r in records] == [0, 1, 2]
    assert (run / "figures" / "prompt_learning.png").stat().st_size > 20_000
    features = few_shot.load(run, "features")
    assert features.images.shape == (1797, 32) and features.class_names[3] == "three"
    assert records[0]["test/mir_0"] == records[0]["test/mir_0.9"]
    assert records[2]["test/mir_0"] != records[2]["test/mir_0.9"]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == 2 and summary["zero_shot"]["all"] < 0.3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": ""}, "checkpoint must name a file of CLIP weights"),
        ({"checkpoint": "none.safetensors"}, r"there are no weights at none\.safetensors"),
        ({"activation": "relu"}, "activation = 'relu' is unknown; use auto, gelu, quick_gelu"),
        ({"dataset": "mnist"}, "dataset = 'mnist' is unknown; use directory or digits"),
        ({"variant": "class"}, "variant = 'class' is unknown; use one of classwise, modal, all"),
        ({"alignment_weights": (0.0,)}, r"alignment_weights must hold weights in \(0, 1\]"),
        ({"batch_size": 7}, "batch_size = 7 must be a multiple of the 2 devices"),
        ({"shots": 0}, "shots must be at least 1, got 0"),
    ],
)
def test_bad_config(tmp_path, changes, message):
    config = configs.get_config("smoke")
    for name, value in changes.items():
        config[name] = value
    with pytest.raises(UserError, match=message):
        prompt_learning.run(config, tmp_path)


def test_unknown_variant():
    with pytest.raises(ValueError, match="unknown variant 'big'; use cpu, paper or smoke"):
        configs.get_config("big")


# Features of a directory of images


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
    """Weights whose heads are 64 wide and whose tokens are those of the tokenizer."""
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
    assert "need it: pip install open_clip_torch (or use --checkpoint)" in capsys.readouterr().err


def test_features_by_open_clip(directory, tmp_path):
    """The same as by infojax's CLIP, from the same weights."""
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
