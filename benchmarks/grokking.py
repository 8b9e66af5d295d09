"""Milliseconds per grokking step: infojax against a PyTorch port of the reference.

Also of seeds trained side by side, and of the step's matrix products alone, which no program that
computes them can be faster than.
"""

from typing import Any

import numpy as np

from benchmarks import tables
from benchmarks.race import race
from benchmarks.worker import Task

_LIMIT = 300.0  # seconds per chunk of steps
_AGREE = 1e-4  # relative difference allowed between losses
_STEPS = {
    "infojax": 50,
    "its matrix products alone": 50,
    "8 seeds one by one, per seed": 25,
    "8 seeds together (vmap), per seed": 25,
    "torch, loss in float64": 5,
    "torch, loss in float32": 5,
}
_SEEDS = 8


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
            "milliseconds_per_step": 1e3 * outcome.seconds / (steps[name] * _seeds(name)),
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
    if "products" in name:
        return _products(config, len(examples.results), steps)
    if _seeds(name) > 1:
        return _ensemble(config, steps, batched="vmap" in name)
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
        keys = ("first_loss", "loss_after_20")
        losses = [f"{record[key]:.6f}" if key in record else "" for key in keys]
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
        for key in record.keys() & {"first_loss", "loss_after_20"}:
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


def _ensemble(config: Any, steps: int, batched: bool) -> Task:
    """Seeds from the config's on, each with its own parameters and examples."""
    import jax

    from infojax import training
    from infojax.training import lanes
    from launch.experiments import grokking

    program = grokking.build(config)

    def member(seed: int) -> lanes.Inputs:
        own = config.copy_and_resolve_references()
        own.seed = seed
        params, examples = _initial(own)
        batch = jax.tree.map(lambda x: x[0], training.shard_padded(examples, 1))
        return training.init_state(program.update, params), batch, None

    members = [member(config.seed + k) for k in range(_SEEDS)]
    ensemble = training.make_ensemble(
        program.update, lambda *_: {}, lambda state, _: state, batched
    )
    groups = []
    for i, place in enumerate(lanes.layout(np.ones(_SEEDS, bool), batched)):
        lane = ensemble.lanes[i % len(ensemble.lanes)]
        groups.append([lane, place, *lane.put(members, place)])

    def advance(count):
        for group in groups:
            lane, place, state, batch, _ = group
            group[2] = lane.advance(state, batch, np.full(place.shape, count))
        jax.block_until_ready([group[2] for group in groups])

    def loss():
        first = groups[0][0].fetch(groups[0][2]).loss
        return float(np.ravel(first)[0])

    advance(1)
    report = {"first_loss": loss()}
    advance(20)
    report["loss_after_20"] = loss()
    return Task(lambda: advance(steps), lambda _: report)


def _products(config: Any, n: int, steps: int) -> Task:
    """The products of a step at the last position: their operands are not computed."""
    import jax
    import jax.numpy as jnp

    d, m, v = config.d_model, config.d_mlp, config.modulus + 1
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    shapes = {"x": (n, d), "o": (d, d), "w": (d, m), "h": (m, n), "u": (v, d), "l": (n, v)}

    @jax.jit
    def products(x, o, w, h, u, l):  # noqa: E741
        forward = (x @ o, w.T @ x.T, h.T @ w.T, x @ u.T)
        by_weights = (x.T @ x, (h @ x).T, h @ x, l.T @ x)
        return forward, by_weights, (x @ o.T, w.T @ x.T, (w @ h).T, l @ u)

    operands = [draw(*shape) for shape in shapes.values()]
    jax.block_until_ready(products(*operands))

    def run():
        for _ in range(steps):
            jax.block_until_ready(products(*operands))

    return Task(run, lambda _: {})


def _seeds(name: str) -> int:
    return _SEEDS if "seeds" in name else 1


def _torch(config: Any, params: Any, examples: Any, steps: int, precise: bool) -> Task:
    from benchmarks.reference_transformer import Trainer

    trainer = Trainer(params, examples, config, precise)
    losses = [trainer.step() for _ in range(21)]
    report = {"first_loss": losses[0], "loss_after_20": losses[-1]}
    return Task(lambda: [trainer.step() for _ in range(steps)], lambda _: report)
