"""Prompt learning: context vectors of a frozen CLIP, with cross-entropy alone and with CMA."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict
from PIL import Image
from sklearn.datasets import load_digits

from infojax import alignment, losses, training
from infojax.data import few_shot, image_text
from infojax.data.few_shot import Features, Shots
from infojax.errors import UserError
from infojax.models import clip_weights
from infojax.models.clip import CLIP, Architecture, Tower
from infojax.moments import unit_rows
from infojax.training import processes
from launch import adaptation, encoders, seeds
from launch.plots.prompt_learning import figures as figures
from launch.results import prompt_learning
from launch.settings import check_at_least, check_choice

RANDOM = "random"
_GELU = {"auto": None, "gelu": False, "quick_gelu": True}
_RANDOM_ARCHITECTURE = Architecture(32, 16, 4, Tower(32, 2, 2), 32, 49_408, Tower(32, 2, 2), False)
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

WHY_NOT_LONGER = "the learning rate follows a cosine over num_steps"


class Program(NamedTuple):
    """What all seeds share.

    Attributes:
      model: the frozen model.
      params: its parameters.
      features: of all images, and of the class texts in the zero-shot prompt.
      tokens: prompt of each class, int32 [C, L], with placeholders for the context.
      weights: λ of each learned context, float32 [M]; the first is 0.
    """

    model: CLIP
    params: Any
    features: Features
    tokens: np.ndarray
    weights: np.ndarray


class Source(NamedTuple):
    """What every replica draws its share of a batch from.

    Attributes:
      params: of the frozen model.
      images: features of all images, float32 [N, D].
      labels: int32 [N].
      plan: this replica's share of each batch, int32 [T, b], -1 for padding.
    """

    params: Any
    images: jax.Array
    labels: jax.Array
    plan: jax.Array


def run(config: ConfigDict, workdir: Path) -> None:
    """Learns the contexts of all seeds, draws the figure and writes the summary."""
    check(config)
    program = build(config, workdir)
    zero_shot = adaptation.zero_shot(program.features)
    seeds.run(
        config,
        workdir,
        functools.partial(run_seed, program, config),
        lambda histories: prompt_learning.summarize(histories, _names(program), zero_shot),
        figures,
    )


def build(config: ConfigDict, workdir: Path) -> Program:
    """Loads the model and encodes the images, once per work directory."""
    if config.checkpoint == RANDOM:
        model = CLIP(_RANDOM_ARCHITECTURE)
        size = _RANDOM_ARCHITECTURE.image_size
        inputs = np.zeros((1, size, size, 3), np.float32), np.zeros((1, 2), np.int32)
        params = jax.jit(model.init)(jax.random.key(0), *inputs)["params"]
    else:
        model, params = clip_weights.load(
            Path(config.checkpoint), _GELU[config.activation], config.vision_heads or None
        )
    features = processes.from_first(lambda: _features(config, workdir, model, params))
    tokens = image_text.prompt_tokens(
        features.class_names, config.context_tokens, model.architecture.context_length
    )
    weights = np.array([0, *config.alignment_weights], np.float32)
    return Program(model, params, features, tokens, weights)


def _features(config: ConfigDict, workdir: Path, model: CLIP, params: Any) -> Features:
    """Features of all images, read from the work directory if it holds them."""
    if not (workdir / "features.npz").exists():
        encoders.write_features(
            workdir / "features.npz",
            encoders.of_clip(model, params),
            *_images(config),
            (config.zero_shot_prompt,),
            config.train_fraction,
            seed=0,
        )
    return few_shot.load(workdir, "features")


def _images(config: ConfigDict) -> tuple[list, np.ndarray, tuple[str, ...]]:
    """Images or their files, labels and class names."""
    if config.dataset == "directory":
        return image_text.find_images(Path(config.data_dir))
    digits = load_digits()
    pixels = (digits.images / 16 * 255).astype(np.uint8)
    images = [Image.fromarray(image).convert("RGB") for image in pixels]
    return images, digits.target.astype(np.int32), _DIGITS


def run_seed(
    program: Program, config: ConfigDict, seed: int, directory: Path
) -> training.TrainState:
    """Learns the contexts of one seed, or resumes; returns the final state."""
    shots = few_shot.draw_shots(program.features, config.shots, seed)
    source, size = make_source(program, config, shots, seed)
    schedule = optax.cosine_decay_schedule(config.learning_rate, config.num_steps)
    update = training.Update(
        make_loss(program, config.variant, size),
        optax.adamw(schedule, weight_decay=config.weight_decay),
    )
    loop_on_device = jax.default_backend() != "cpu"  # 3 times slower there
    advance = training.make_train_step(update, loop_on_device)
    measure = jax.jit(make_measure(program, shots, config.chance_permutations))

    def evaluate(replicated: training.TrainState) -> training.Metrics:
        contexts = training.single(replicated.params)
        return {k: float(v) for k, v in measure(contexts, program.params).items()}

    plan = training.Plan(
        directory,
        evaluate,
        training.evaluation_steps(config.num_steps, config.eval_every),
        config.checkpoint_every,
        config.steps_per_call,
        ("train/loss", f"test/accuracy_{_names(program)[0]}"),
    )
    state = training.init_state(update, init_contexts(program, config, seed))
    return training.fit(state, lambda state, count: advance(state, source, count), plan)


def init_contexts(program: Program, config: ConfigDict, seed: int) -> jax.Array:
    """Returns contexts [M, m, width]: the same start for every λ."""
    width = program.model.architecture.text.width
    start = 0.02 * jax.random.normal(jax.random.key(seed), (config.context_tokens, width))
    return jnp.tile(start, (len(program.weights), 1, 1))


def make_source(
    program: Program, config: ConfigDict, shots: Shots, seed: int
) -> tuple[Source, float]:
    """Puts the data and each replica's plan on the devices.

    Returns:
      The source, and the non-padding images per batch, divided by the number of replicas.
    """
    features = program.features
    plan = few_shot.draw_batches(shots.train, config.num_steps, config.batch_size, seed)
    shares = plan.reshape(len(plan), jax.device_count(), -1).swapaxes(0, 1)
    first = jax.process_index() * jax.local_device_count()
    shares = training.put_shards(shares[first : first + jax.local_device_count()])
    arrays = jnp.asarray(features.images), jnp.asarray(features.labels)
    params, images, labels = training.replicate((program.params, *arrays))
    size = min(config.batch_size, len(shots.train)) / jax.device_count()
    return Source(params, images, labels, shares), size


def make_loss(program: Program, variant: str, size: float) -> training.LossFn:
    """Returns the sum over contexts of `(1 - λ) CE + λ CMA`.

    Args:
      program: with the weights λ.
      variant: of the alignment.
      size: non-padding images per batch, divided by the number of replicas.
    """

    def loss_fn(contexts, model_state, source: Source, index):
        rows = source.plan[index]
        inside = rows >= 0
        images, y = source.images[rows], jnp.where(inside, source.labels[rows], -1)
        scale = jnp.exp(source.params["logit_scale"])

        def of_context(context, weight):
            texts = encode(program, source.params, context)
            logits = scale * images @ texts.T
            ce = losses.cross_entropy(logits, jnp.maximum(y, 0))
            ce = jnp.sum(jnp.where(inside, ce, 0)) / size
            cma = losses.cross_modal_alignment(images, texts, y, variant, training.AXIS)
            return (1 - weight) * ce + weight * cma

        return jnp.sum(jax.vmap(of_context)(contexts, program.weights)), (model_state, {})

    return loss_fn


def encode(program: Program, params: Any, context: jax.Array) -> jax.Array:
    """Normalised text features [C, D] with a context [m, width] in front of the class names."""
    texts = program.model.apply({"params": params}, program.tokens, context, method="encode_text")
    return unit_rows(jnp.asarray(texts))


def make_measure(
    program: Program, shots: Shots, permutations: int
) -> Callable[[jax.Array, Any], dict[str, jax.Array]]:
    """Returns `measure(contexts, params)`: metrics of each context, by name and λ.

    Args:
      program: what is measured.
      shots: of the seed.
      permutations: as in `adaptation.measure`.
    """
    features = program.features
    members = adaptation.class_members(features)

    def measure(contexts, params):
        def of_context(context):
            texts = encode(program, params, context)
            logits = jnp.exp(params["logit_scale"]) * features.images @ texts.T
            hits = (jnp.argmax(logits, 1) == features.labels).astype(jnp.float32)
            loss = losses.cross_entropy(logits, features.labels)
            arrays = features.images, texts, features.labels, features.test, members
            measures = adaptation.measure(*arrays, permutations)
            named = measures.named()
            return {
                "validation/accuracy": jnp.mean(hits[shots.validation]),
                "validation/loss": jnp.mean(loss[shots.validation]),
                "train/accuracy": jnp.mean(hits[shots.train]),
                "test/accuracy": jnp.mean(hits[features.test]),
                "test/loss": jnp.mean(loss[features.test]),
                "test/modality_gap": measures.modality_gap,
                "test/class_entropy": jnp.mean(measures.class_entropies),
                **{f"test/{name}": named[name] for name in named if name.endswith(("mir", "hdr"))},
            }

        values = jax.lax.map(of_context, contexts)
        names = _names(program)
        return {f"{k}_{name}": v[i] for k, v in values.items() for i, name in enumerate(names)}

    return measure


def _names(program: Program) -> list[str]:
    return [f"{weight:g}" for weight in program.weights]


def check(config: ConfigDict) -> None:
    """Raises UserError for settings that cannot be run."""
    positive = ("num_seeds", "shots", "context_tokens", "batch_size", "num_steps", "eval_every")
    limits = dict.fromkeys((*positive, "checkpoint_every", "steps_per_call"), 1)
    not_negative = ("seed", "vision_heads", "learning_rate", "weight_decay", "chance_permutations")
    check_at_least(config, limits | dict.fromkeys(not_negative, 0))
    if not config.checkpoint:
        raise UserError(
            "checkpoint must name a file of CLIP weights (of OpenAI or open_clip), or be 'random'"
        )
    check_choice(config, "activation", _GELU)
    check_choice(config, "dataset", ("directory", "digits"))
    check_choice(config, "variant", alignment.VARIANTS)
    if not config.alignment_weights or not all(0 < w <= 1 for w in config.alignment_weights):
        raise UserError("alignment_weights must hold weights in (0, 1], for example (0.1, 0.5)")
    if len({f"{w:g}" for w in config.alignment_weights}) < len(config.alignment_weights):
        raise UserError("alignment_weights must hold each weight once, to six digits")
    if config.batch_size * config.num_steps >= 2**28:
        raise UserError("batch_size times num_steps must be below 2^28")
    if config.batch_size % jax.device_count():
        raise UserError(
            f"batch_size = {config.batch_size} must be a multiple of the {jax.device_count()} "
            "devices"
        )
