"""Part 4: grokking modulo p: milliseconds a step, Figure 7 whole, an ensemble of seeds."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from benchmarks.accelerator import torch_side
from benchmarks.accelerator.context import Context, Measurement, OutOfTime
from benchmarks.accelerator.timing import median_seconds, timed
from infojax import losses, training
from infojax.data import modular
from infojax.models.transformer import PairTransformer
from launch import grokking_measures

_GENERALISES = 0.99  # test accuracy


class Settings(NamedTuple):
    """As in configs/grokking.py.

    Attributes:
      members: seeds of the ensemble.
      timed_steps: updates in a dispatch that is timed.
    """

    modulus: int = 113
    d_model: int = 128
    num_heads: int = 4
    d_mlp: int = 512
    num_steps: int = 12_000
    learning_rate: float = 1e-3
    warmup_steps: int = 10
    beta1: float = 0.9
    beta2: float = 0.98
    weight_decay: float = 1.0
    batch_sizes: tuple[int, ...] = (64, 256)
    eval_every: int = 200
    members: int = 64
    timed_steps: int = 200
    seed: int = 5


_COMPILED: dict[str, dict[str, str]] = {  # options of torch.compile
    "default": {},
    "CUDA graphs": {"mode": "reduce-overhead"},
}
_TINY = Settings(
    *(13, 16, 2, 32, 6),
    batch_sizes=(16,),
    eval_every=3,
    members=4,
    timed_steps=3,
)


class Program(NamedTuple):
    """The model, its update, and metrics of a state and its data."""

    model: PairTransformer
    update: training.Update
    measure: Any


class Data(NamedTuple):
    """Training and test examples of a seed, the test ones in random order."""

    fitted: modular.Examples
    test: modular.Examples


def measurements(context: Context) -> Iterator[Measurement]:
    """Steps, then the whole figure, then the ensemble."""
    settings = _TINY if context.small else Settings()
    yield Measurement("step, infojax", functools.partial(_step, settings))
    if torch_side.installed():
        for how, options in _COMPILED.items():
            options = {"backend": "aot_eager"} if context.small else options
            run = functools.partial(_torch_step, settings, options)
            yield Measurement(f"step, torch, {how}", run, 30.0)
    run = functools.partial(_figure, settings, context)
    yield Measurement(f"figure 7, p = {settings.modulus}", run, 25.0)
    name = f"{settings.members} seeds"
    yield Measurement(name, functools.partial(_ensemble, settings, context), 30.0)


def build(settings: Settings) -> Program:
    """Returns the model, AdamW after a warm-up, and what is recorded."""
    model = PairTransformer(
        settings.modulus + 1, settings.d_model, settings.num_heads, settings.d_mlp
    )
    warm_up = optax.linear_schedule(0.0, settings.learning_rate, settings.warmup_steps)
    optimizer = optax.adamw(
        warm_up, b1=settings.beta1, b2=settings.beta2, weight_decay=settings.weight_decay
    )

    def outputs(params, operands):
        return model.apply({"params": params}, operands)

    def loss_fn(params, batch):
        examples, weights = batch
        _, logits = outputs(params, examples.operands)
        return jnp.sum(weights * losses.cross_entropy(logits, examples.results))

    measured = grokking_measures.Settings(settings.batch_sizes, ())

    def measure(state, data: Data):
        found = grokking_measures.measure(outputs, measured, state.params, data.fitted, data.test)
        return found | {"train/loss_spike": state.spike}

    return Program(model, training.Update(training.stateless(loss_fn), optimizer), measure)


def data_of(settings: Settings, seed: int) -> Data:
    """Returns a seed's examples."""
    fitted, test = modular.split_examples(settings.modulus, "a+b", 0.3, seed)
    order = np.random.default_rng([seed, 1]).permutation(len(test.results))
    return Data(fitted, modular.Examples(*(x[order] for x in test)))


def init_state(program: Program, seed: int, data: Data) -> training.TrainState:
    """Returns a seed's state before training."""
    params = program.model.init(jax.random.key(seed), data.fitted.operands[:1])["params"]
    return training.init_state(program.update, params)


def _step(settings: Settings) -> dict[str, Any]:
    program, data = build(settings), data_of(settings, settings.seed)
    advance = training.make_train_step(program.update)
    batch = training.shard_padded(data.fitted, jax.local_device_count())
    state = training.replicate(init_state(program, settings.seed, data))
    steps = settings.timed_steps
    compiling, state = timed(lambda: jax.block_until_ready(advance(state, batch, 1)))
    first = float(training.single(state.loss))

    def run():
        nonlocal state
        state = advance(state, batch, steps)
        return state.loss

    seconds = median_seconds(run, jax.block_until_ready) / steps
    return {"seconds": seconds, "first_loss": first, "compile_seconds": compiling}


def _torch_step(settings: Settings, options: dict[str, str]) -> dict[str, Any]:
    data = data_of(settings, settings.seed)
    params = jax.tree.map(np.asarray, init_state(build(settings), settings.seed, data).params)
    step = torch_side.grokking_step(params, data.fitted, settings, options)
    compiling, first = timed(lambda: float(step().detach()))
    seconds = median_seconds(step, torch_side.wait, torch_side.WARM_UP)
    return {"seconds": seconds, "first_loss": first, "compile_seconds": compiling}


def _plan(settings: Settings, context: Context, name: str, evaluate: Any) -> training.Plan:
    return training.Plan(
        context.out / name,
        evaluate,
        [*range(0, settings.num_steps, settings.eval_every), settings.num_steps],
        settings.num_steps,
        settings.eval_every,
    )


def _figure(settings: Settings, context: Context) -> dict[str, Any]:
    """Trains and records one seed from beginning to end."""
    program, data = build(settings), data_of(settings, settings.seed)
    batch = training.shard_padded(data.fitted, jax.local_device_count())
    measure = jax.jit(program.measure)

    def evaluate(replicated):
        return {k: float(x) for k, x in measure(training.single(replicated), data).items()}

    step = training.make_train_step(program.update)
    state = init_state(program, settings.seed, data)
    plan = _plan(settings, context, "runs/grokking", evaluate)
    try:
        with context.clock.interrupting():
            training.fit(state, lambda state, count: step(state, batch, count), plan)
    except training.Interrupted as stopped:
        raise OutOfTime({"step": stopped.step}) from stopped
    records = training.read_records(plan.directory)
    return {"seconds": records[-1]["seconds"], "seed": settings.seed, **_course(records, settings)}


def _course(records: Sequence[dict[str, float]], settings: Settings) -> dict[str, Any]:
    """When a run generalised, and its last values."""
    late = [r["step"] for r in records if r["test/accuracy"] > _GENERALISES]
    n = max(settings.batch_sizes)
    names = ("test/accuracy", f"test/mir_{n}", f"test/hdr_{n}")
    last = {name: records[-1][name] for name in names}
    highest = max(r[f"test/mir_{n}"] for r in records)
    return {"generalised_at": late[0] if late else None, f"highest_mir_{n}": highest, **last}


def _members(program: Program, settings: Settings, context: Context) -> list[training.Member]:
    members = []
    for seed in range(settings.members):
        data = data_of(settings, seed)
        fitted, weights = training.shard_padded(data.fitted, 1)
        batch = jax.tree.map(lambda x: x[0], (fitted, weights))
        directory = context.out / "ensemble" / f"seed={seed}"
        members.append(training.Member(init_state(program, seed, data), batch, data, directory))
    return members


def _ensemble(settings: Settings, context: Context) -> dict[str, Any]:
    """Trains all seeds to the end; when each generalised."""
    program = build(settings)
    members = _members(program, settings, context)
    ensemble = training.make_ensemble(
        program.update, program.measure, lambda state, _: state, batched=True
    )
    plan = _plan(settings, context, "ensemble", lambda _: {})
    try:
        with context.clock.interrupting():
            training.fit_ensemble(members, ensemble, plan)
    except training.Interrupted as stopped:
        raise OutOfTime({"step": stopped.step}) from stopped
    courses = [_course(training.read_records(m.directory), settings) for m in members]
    onsets = [c["generalised_at"] for c in courses if c["generalised_at"] is not None]
    n = max(settings.batch_sizes)
    final = [c[f"test/mir_{n}"] for c in courses]
    return {
        "seconds": training.read_records(members[0].directory)[-1]["seconds"],
        "seconds_of_a_step": _seconds_of_a_step(members[0].directory),
        "members": len(members),
        "generalised": len(onsets),
        "earliest": min(onsets, default=None),
        "median": float(np.median(onsets)) if onsets else None,
        "latest": max(onsets, default=None),
        f"final_mir_{n}": float(np.mean(final)),
        f"spread_mir_{n}": float(np.std(final, ddof=1)),
        "onsets": onsets,
    }


def _seconds_of_a_step(directory: Path) -> float:
    """Between the last two records, evaluation included."""
    *_, before, last = training.read_records(directory)
    return (last["seconds"] - before["seconds"]) / (last["step"] - before["step"])
