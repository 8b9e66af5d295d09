"""Small training problems; `python -m tests.problems` trains two of them on up to 8 devices."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import jax_utils

from infojax import losses, training

FEATURES, CLASSES = 4, 3


def replicate(state, num_devices):
    return jax_utils.replicate(state, jax.local_devices()[:num_devices])


def single(replicated):
    """The state of the first replica as NumPy arrays; all replicas must be equal."""
    stacked = jax.device_get(replicated)
    jax.tree.map(lambda x: np.testing.assert_array_equal(x, np.stack([x[0]] * len(x))), stacked)
    return jax.tree.map(lambda x: x[0], stacked)


def examples(n):
    rng = np.random.default_rng(n)
    inputs = rng.normal(size=(n, FEATURES)).astype(np.float32)
    return inputs, rng.integers(0, CLASSES, n).astype(np.int32)


def init_params():
    rng = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(rng.normal(size=shape), jnp.float32)  # noqa: E731
    return {"hidden": draw(FEATURES, 5), "bias": draw(5), "head": draw(CLASSES, 5)}


def features_of(params, inputs):
    return jnp.tanh(inputs @ params["hidden"] + params["bias"][None])


def cross_entropy(params, batch):
    """This replica's share of the mean cross-entropy; padding has weight zero."""
    (inputs, labels), weights = batch
    logits = features_of(params, inputs) @ params["head"].T
    return jnp.sum(weights * losses.cross_entropy(logits, labels))


def with_information(params, batch):
    """Cross-entropy plus the information loss of the features of the global batch."""
    (inputs, labels), _ = batch
    features, rows = features_of(params, inputs), params["head"][labels]
    information = losses.information_loss(features, rows, 0.3, 0.7, axis_name=training.AXIS)
    return cross_entropy(params, batch) + information


def trained(loss_fn, optimizer, n, num_devices, num_steps):
    """State after training on n examples for `num_steps` on `num_devices`."""
    update = training.Update(training.stateless(loss_fn), optimizer)
    advance = training.make_train_step(update)
    state = replicate(training.init_state(update, init_params()), num_devices)
    return single(advance(state, training.shard_padded(examples(n), num_devices), num_steps))


@jax.custom_jvp
def _sloping_zero(x, slope):
    """Returns 0, with derivative `slope` by x, which may be NaN."""
    return 0 * x


_sloping_zero.defjvps(lambda dx, _, x, slope: slope * dx, None)


def scripted(table, slopes=None):
    """Loss of a parameter x with value table[t] at update t, with SGD at learning rate 1.

    The gradient is -1, or -slopes[t], so that x counts the updates.
    """
    table = jnp.asarray(table, jnp.float32)
    slopes = jnp.ones_like(table) if slopes is None else jnp.asarray(slopes, jnp.float32)

    def loss_fn(params, _):
        update = jax.lax.stop_gradient(params["x"]).astype(jnp.int32)
        return table[update] + _sloping_zero(params["x"], -slopes[update])

    return loss_fn, optax.sgd(1.0), {"x": jnp.float32(0)}


def main():
    """Prints the losses and parameters of each problem by number of devices, as JSON."""
    cases = [("plain", cross_entropy, 13, (1, 8)), ("informed", with_information, 16, (1, 4, 8))]
    results: dict = {name: {} for name, *_ in cases}
    for name, loss_fn, n, devices in cases:
        for num_devices in devices:
            state = trained(loss_fn, optax.sgd(0.5), n, num_devices, 3)
            values = {"loss": float(state.loss)}
            values |= {key: np.asarray(x).tolist() for key, x in state.params.items()}
            results[name][num_devices] = values
    json.dump(results, sys.stdout)


if __name__ == "__main__":
    main()
