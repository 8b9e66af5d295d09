"""Prompt learning: the loss, recovery of a hidden context, and a run on images."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from safetensors.numpy import save_file

from infojax import training
from infojax.data import few_shot, image_text
from infojax.errors import UserError
from infojax.losses import cross_entropy, cross_modal_alignment
from infojax.models import clip_weights
from launch.experiments import prompt_learning
from tests import features as small
from tests.launch.launcher import Launcher, done
from tests.models import clip_problems as problems

pytest.importorskip("instant_clip_tokenizer", reason="has wheels for Python 3.11 and 3.12 only")

CLASSES, CONTEXT = 5, 4
TOWER = {"width": 48, "layers": 1, "heads": 2}


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """Images around the text features of a hidden context."""
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
    return prompt_learning.Program(model, params, features, tokens, np.array([0, 0.3], np.float32))


def start(program):
    one = 0.02 * jax.random.normal(jax.random.key(0), (CONTEXT, TOWER["width"]))
    return jnp.tile(one, (len(program.weights), 1, 1))


@pytest.fixture(scope="module")
def encode(program):
    return jax.jit(lambda context: prompt_learning.encode(program, program.params, context))


@pytest.fixture(scope="module")
def measure(program, learned):
    return jax.jit(prompt_learning.make_measure(program, learned[3], 0))


def plan_of(program, batch_size, num_steps):
    shots = few_shot.draw_shots(program.features, 3, seed=0)
    plan = few_shot.draw_batches(shots.train, num_steps, batch_size, seed=0)
    data = program.params, program.features.images, program.features.labels
    return plan, shots, data


@pytest.fixture(scope="module")
def learned(program):
    """Contexts trained on two devices, losses of the first and last step, plan and shots."""
    plan, shots, data = plan_of(program, 8, 60)
    loss_fn = prompt_learning.make_loss(program, "classwise", 8 / 2)
    update = training.Update(loss_fn, optax.adam(0.1))
    shares = training.put_shards(plan.reshape(60, 2, 4).swapaxes(0, 1))
    data = prompt_learning.Source(*training.replicate(data), shares)
    state = training.replicate(training.init_state(update, start(program)))
    advance = training.make_train_step(update)
    losses = []
    with jax.numpy_dtype_promotion("standard"):  # optax counts steps in integers
        for num_steps in (1, 59):
            state = advance(state, data, num_steps)
            losses.append(float(training.single(state.loss)))
    return training.single(state.params), losses, plan, shots


def test_loss_is_that_of_the_global_batch(program, learned, encode):
    """The first loss, on two devices, against the definition on the whole batch."""
    _, losses, plan, _ = learned
    f, context = program.features, start(program)[0]
    texts = encode(context)
    images, y = f.images[plan[0]], f.labels[plan[0]]
    ce = jnp.mean(cross_entropy(20 * images @ texts.T, y))
    cma = cross_modal_alignment(images, texts, y)
    np.testing.assert_allclose(losses[0], ce + (0.7 * ce + 0.3 * cma), rtol=1e-5)


def test_padding_of_a_batch_changes_nothing(program, encode):
    loss_fn = prompt_learning.make_loss(program, "classwise", 5 / 2)
    _, shots, data = plan_of(program, 8, 1)
    rows = np.concatenate([shots.train[[0, 4, 8, 9, 12]], [-1, -1, -1]]).astype(np.int32)
    f = training.mapped(lambda d, c: jax.lax.pmean(loss_fn(c, {}, d, 0)[0], training.AXIS))
    values = []
    for order in (rows, rows[[5, 0, 6, 1, 2, 7, 3, 4]]):  # on one device three, or two
        shares = prompt_learning.Source(*training.replicate(data), order.reshape(2, 1, 4))
        values.append(f(shares, training.replicate(start(program)))[0])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-5)
    texts = encode(start(program)[0])
    images, y = program.features.images[rows[:5]], program.features.labels[rows[:5]]
    ce = jnp.mean(cross_entropy(20 * images @ texts.T, y))
    expected = ce + 0.7 * ce + 0.3 * cross_modal_alignment(images, texts, y)
    np.testing.assert_allclose(values[0], expected, rtol=1e-5)


def test_contexts_are_learned(program, learned, measure):
    contexts, losses, _, _ = learned
    assert losses[-1] < 0.5 * losses[0]
    before, after = measure(start(program), program.params), measure(contexts, program.params)
    for weight in ("0", "0.3"):
        assert after[f"test/loss_{weight}"] < 0.5 * before[f"test/loss_{weight}"]
        assert after[f"test/accuracy_{weight}"] > before[f"test/accuracy_{weight}"]
    assert after["test/class_entropy_0.3"] < after["test/class_entropy_0"]
    assert after["test/class_entropy_0.3"] < before["test/class_entropy_0.3"]


def test_metrics(program, learned, encode, measure):
    contexts, _, _, shots = learned
    got = measure(contexts, program.params)
    f = program.features
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


def test_run_on_images(tmp_path):
    """Digits, encoded by a random model, through the command line."""
    launcher, run = Launcher(tmp_path, "configs/prompt_learning.py:smoke"), tmp_path / "run"
    overrides = ["--config.num_steps=2", "--config.checkpoint_every=2"]
    assert launcher.run(run, *overrides) == (0, done(run, "prompt_learning"), "")
    records = training.read_records(run)
    assert [r["step"] for r in records] == [0, 1, 2]
    assert (run / "figures" / "prompt_learning.png").stat().st_size > 20_000
    features = few_shot.load(run, "features")
    assert features.images.shape == (1797, 32) and features.class_names[3] == "three"
    assert records[0]["test/mir_0"] == records[0]["test/mir_0.9"]
    assert records[2]["test/mir_0"] != records[2]["test/mir_0.9"]
    summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == 2 and summary["zero_shot"]["all"] < 0.3
