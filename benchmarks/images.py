"""A WideResNet-28-2 training step on 64 images: cost of the information losses, and PyTorch."""

from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.race import race
from benchmarks.worker import Task

_LIMIT = 120.0  # seconds per step
_AGREE = 1e-3  # relative difference allowed between first losses
_CONTENDERS = ("infojax", "infojax, cross-entropy alone", "torch, cross-entropy alone")
_SEED = 0


def run(quick: bool) -> tuple[list[dict[str, Any]], str]:
    """Measures all contenders, checks that their losses agree; returns records and table."""
    depth = 10 if quick else 28
    entrants = {name: {"name": name, "depth": depth} for name in _CONTENDERS}
    outcomes = race("benchmarks.images:build", entrants, _LIMIT)
    plain = outcomes["infojax, cross-entropy alone"].seconds
    records = [
        {
            "contender": name,
            "status": outcome.status,
            "milliseconds_per_step": 1e3 * outcome.seconds,
            "ratio": outcome.seconds / plain,
            "rounds": list(outcome.rounds),
            **outcome.report,
        }
        for name, outcome in outcomes.items()
    ]
    _compare(records)
    title = f"## WideResNet-{depth}-2: one training step on 64 images of 32 x 32\n\n"
    text = title + _table(records)
    print(text, flush=True)
    return records, text


def _table(records: list[dict[str, Any]]) -> str:
    rows = []
    for r in records:
        if r["status"] != "ok":
            rows.append([r["contender"], r["status"], "", ""])
            continue
        time = tables.milliseconds(r["milliseconds_per_step"])
        rows.append([r["contender"], time, f"{r['ratio']:.3f}×", f"{r['first_loss']:.5f}"])
    header = ["", "step", "ratio to the step without information terms", "first cross-entropy"]
    return tables.markdown(header, rows)


def _compare(records: list[dict[str, Any]]) -> None:
    """Raises if the first losses disagree: the networks or images would differ."""
    losses = [r["first_loss"] for r in records if r["status"] == "ok"]
    if losses and max(losses) - min(losses) > _AGREE * max(losses):
        raise AssertionError(f"the first losses differ: {losses}")


def build(name: str, depth: int) -> Task:
    """Sets up a contender; entry point of its process."""
    import jax

    from infojax import Interplay, losses, training
    from launch import classification, networks, updates

    config = _config(depth)
    data = _random_images()
    if "alone" in name:
        zero = Interplay(*[jax.numpy.float32(0)] * 6)
        losses.global_interplay = lambda *_: zero
    model = networks.make_model(config, data.train.images.shape[1:], data.num_classes)
    update = updates.make_update(config, model, data)
    advance = classification.make_advance(update)
    measure: Any = None  # only training is timed
    program = classification.Program(data, "test", model, update, advance, measure, measure)
    state = classification.init_state(program, config, _SEED)
    if name.startswith("torch"):
        return _torch(config, state.params, data)
    source = classification.make_source(program, config, _SEED)
    replicated = advance(training.replicate(state), source, 1)
    report = {"first_loss": float(training.single(replicated.terms["cross_entropy"]))}

    def step():
        nonlocal replicated
        replicated = jax.block_until_ready(advance(replicated, source, 1))

    return Task(step, lambda _: report)


def _torch(config: Any, params: Any, data: Any) -> Task:
    from benchmarks.reference_wide_resnet import Trainer

    images = np.asarray((data.train.images / 255 - data.mean) / data.std, np.float32)
    trainer = Trainer(_numpy(params), (config.depth - 4) // 6, config.learning_rate)
    report = {"first_loss": trainer.step(images, data.train.labels)}
    return Task(lambda: trainer.step(images, data.train.labels), lambda _: report)


def _numpy(tree: Any) -> Any:
    return {k: _numpy(v) if isinstance(v, dict) else np.asarray(v) for k, v in tree.items()}


def _config(depth: int) -> Any:
    """The paper's CIFAR-10 settings without augmentation, so that all see the same images."""
    from configs.cifar10 import get_config

    config = get_config("paper")
    config.update({"depth": depth, "mi_weight": 0.1, "id_weight": 0.1})
    config.wide_resnet_form = "tensorflow"  # as in reference_wide_resnet.py
    config.update({"flip": False, "crop_padding": 0})
    return config


def _random_images() -> Any:
    """One batch of 64 random images; their order does not change the mean loss."""
    from infojax.data.images import ImageData, Split

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (64, 32, 32, 3), np.uint8)
    split = Split(images, rng.integers(0, 10, 64).astype(np.int32))
    mean, std = np.full(3, 0.5, np.float32), np.full(3, 0.29, np.float32)
    return ImageData(split, split, 10, mean, std)
