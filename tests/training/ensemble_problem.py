"""Small ensembles: members whose loss has a switch that an evaluation turns off."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from infojax import training
from infojax.training import step
from tests import problems

LAST = 20
EVAL_STEPS = training.evaluation_steps(LAST, 3)
LARGE = np.float32(0.9)  # of a member's size, relative to its first


def _loss(params, model_state, batch, index):
    """Cross-entropy, plus a decay that is on until the parameters are small; noise by step."""
    decay = sum(jnp.sum(x**2) for x in jax.tree.leaves(params))
    noise = jax.random.normal(jax.random.fold_in(jax.random.key(0), index), ())
    *shard, rate = batch
    shrinking = jnp.where(model_state["small"] < 0, rate, 0.0) * decay
    return problems.cross_entropy(params, shard) + shrinking + noise, (model_state, {})


UPDATE = training.Update(_loss, optax.chain(optax.trace(0.5), optax.scale(-0.05)))


def measure(state, data):
    size = sum(jnp.sum(x**2) for x in jax.tree.leaves(state.params))
    return {"size": size / data, "spike": state.spike}


def after(state, metrics):
    small = jnp.asarray(metrics["size"], jnp.float32) < LARGE
    since = state.model_state["small"]
    return state.replace(
        model_state={"small": jnp.where((since < 0) & small, state.step.astype(jnp.float32), since)}
    )


def finished_after(steps, state):
    since = int(state.model_state["small"])
    return bool(steps) and since >= 0 and int(state.step) >= since + steps


def start(k):
    """State, batch and data of a member; the larger k, the longer it stays large."""
    scale = 0.4 + 0.3 * k
    params = jax.tree.map(lambda x: np.asarray(x) * np.float32(scale), problems.init_params())
    inputs, labels = problems.examples(7)
    batch = training.shard_padded((inputs * np.float32(scale), labels), 1)
    size = np.float32(sum(np.sum(x**2) for x in params.values()))
    state = training.init_state(UPDATE, params, {"small": jnp.float32(-1)})
    rate = np.float32(0.1 / (1 + k))
    return state, (*jax.tree.map(lambda x: x[0], batch), rate), size


def members(root, count):
    return [training.Member(*start(k), root / f"member-{k}") for k in range(count)]


def plan(root, stop_after=0, **settings):
    values = {"eval_steps": EVAL_STEPS, "checkpoint_every": 4, "steps_per_call": 3} | settings
    return training.Plan(
        root,
        lambda _: {},
        after_evaluation=after,
        finished=lambda state: finished_after(stop_after, state),
        **values,
    )


def alone(k, stop_after=0):
    """A member trained by a plain loop on one device: its final state, and its records."""
    device = jax.local_devices()[0]
    advance = training.make_train_step(UPDATE, device=device)
    state, batch, data = start(k)
    state, batch = step.put_alone((state, batch), device)
    records, evaluate = [], jax.jit(measure)
    for target in EVAL_STEPS:
        state = advance(state, batch, target - int(state.step[0]))
        trained = training.single(state)
        found = {name: float(x) for name, x in evaluate(trained, data).items()}
        records.append({"step": target, **found})
        state = after(state.replace(spike=jnp.zeros_like(state.spike)), found)
        if finished_after(stop_after, training.single(state)):
            break
    return jax.device_get(training.single(state)), records
