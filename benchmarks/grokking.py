"""Milliseconds per grokking step: infojax against a PyTorch port of the reference."""

from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.race import race
from benchmarks.worker import Task

_LIMIT = 300.0  # seconds per chunk of steps
_AGREE = 1e-4  # relative difference allowed between losses
_STEPS = {"infojax": 50, "torch, loss in float64": 5, "torch, loss in float32": 5}


def run(quick: bool) -> tuple[list[dict[str, Any]], str]:
    """Measures all contenders, checks that their losses agree; returns records and table."""
    share = 5 if quick else 1
    steps = {name: n // share for name, n in _STEPS.items()}
    entrants = {name: {"name": name, "steps": n} for name, n in steps.items()}
    outcomes = race("benchmarks.grokking:build", entrants, _LIMIT)
    records = [
        {
            "contender": name,
            "status": outcome.status,
            "steps_per_round": steps[name],
            "milliseconds_per_step": 1e3 * outcome.seconds / steps[name],
            "rounds": list(outcome.rounds),
            **outcome.report,
        }
        for name, outcome in outcomes.items()
    ]
    for record in records:
        record.pop("memory_mib", None)  # allocated during set-up, before the measurement
    _compare(records)
    text = render(records)
    print(text, flush=True)
    return records, text


def build(name: str, steps: int) -> Task:
    """Sets up a contender; entry point of its process."""
    from configs.grokking import get_config

    config = get_config("cpu")
    params, examples = _initial(config)
    if name == "infojax":
        return _infojax(config, params, examples, steps)
    return _torch(config, params, examples, steps, precise="float64" in name)


def render(records: list[dict[str, Any]]) -> str:
    """Returns the table, with the ratio to infojax and the agreement of the losses."""
    rows = []
    for record in records:
        if record["status"] != "ok":
            rows.append([record["contender"], record["status"], "", "", ""])
            continue
        time = tables.milliseconds(record["milliseconds_per_step"])
        ratio = f"{record['ratio']:.3g}×" if "ratio" in record else ""
        losses = [f"{record[key]:.6f}" for key in ("first_loss", "loss_after_20")]
        rows.append([record["contender"], time, ratio, *losses])
    header = ["", "step", "ratio to infojax", "first loss", "after 20 steps"]
    title = "## Grokking: one full-batch training step, p = 113, 3,830 examples\n\n"
    return title + tables.markdown(header, rows)


def _compare(records: list[dict[str, Any]]) -> None:
    """Adds ratios to infojax; raises if losses disagree: the models would differ."""
    own, *others = records
    for record in others:
        if own["status"] != "ok" or record["status"] != "ok":
            continue
        record["ratio"] = record["milliseconds_per_step"] / own["milliseconds_per_step"]
        for key in ("first_loss", "loss_after_20"):
            difference = abs(record[key] - own[key])
            if not difference <= _AGREE * abs(own[key]):
                raise AssertionError(f"{record['contender']} and infojax differ in {key}")


def _initial(config: Any) -> tuple[Any, Any]:
    """Initial parameters, as NumPy arrays, and training examples."""
    import jax

    from infojax.data import modular
    from launch.experiments import grokking

    examples, _ = modular.split_examples(
        config.modulus, config.operation, config.train_fraction, config.seed
    )
    model = grokking.build(config).model
    params = model.init(jax.random.key(config.seed), examples.operands[:1])["params"]
    return jax.tree.map(np.asarray, params), examples


def _infojax(config: Any, params: Any, examples: Any, steps: int) -> Task:
    import jax

    from infojax import training
    from launch.experiments import grokking

    program = grokking.build(config)
    batch = training.shard_padded(examples, jax.local_device_count())

    def start():
        return training.replicate(training.init_state(program.update, params))

    def loss_of(count):
        return float(program.advance(start(), batch, count).loss[0])

    report = {"first_loss": loss_of(1), "loss_after_20": loss_of(21)}
    state = start()

    def run():
        nonlocal state
        state = jax.block_until_ready(program.advance(state, batch, steps))

    return Task(run, lambda _: report)


def _torch(config: Any, params: Any, examples: Any, steps: int, precise: bool) -> Task:
    from benchmarks.reference_transformer import Trainer

    trainer = Trainer(params, examples, config, precise)
    losses = [trainer.step() for _ in range(21)]
    report = {"first_loss": losses[0], "loss_after_20": losses[-1]}
    return Task(lambda: [trainer.step() for _ in range(steps)], lambda _: report)
