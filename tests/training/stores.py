"""Directories of checkpoints, intact and damaged."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from infojax import training
from infojax.training.checkpoint import Checkpoints

UPDATE = training.Update(
    training.stateless(lambda params, batch: jnp.float32(0)),
    optax.adamw(optax.linear_schedule(0.0, 1e-3, 10), weight_decay=0.1),
    ema_decay=0.9,
)


def state_of(value):
    """A state of several dtypes in which every number depends on the value."""
    rng = np.random.default_rng(value)
    params = {
        "float32": jnp.asarray(rng.normal(size=(300, 7)), jnp.float32),
        "bfloat16": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        "nested": {"scalar": jnp.float32(rng.normal()), "half": jnp.asarray([0.1], jnp.float16)},
    }
    state = training.init_state(UPDATE, params, {"mean": jnp.zeros(3)})
    draw = lambda x: np.asarray(rng.integers(1, 99, np.shape(x))).astype(x.dtype)  # noqa: E731
    state = state.replace(opt_state=jax.tree.map(draw, state.opt_state), step=jnp.int32(value))
    return state.replace(spike=jnp.float32(np.nextafter(np.float32(1), 2)))


def assert_equal_bits(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


class Store:
    """A directory of checkpoints, reopened for every operation, as by every run."""

    def __init__(self, directory):
        self.directory = directory

    def save(self, *steps, keep=2):
        checkpoints = Checkpoints(self.directory, keep)
        for step in steps:
            checkpoints.save(step, state_of(step))
        checkpoints.close()

    def restore(self):
        checkpoints = Checkpoints(self.directory)
        try:
            return checkpoints.restore(state_of(0))
        finally:
            checkpoints.close()

    def steps(self):
        return sorted(int(p.name) for p in self.directory.iterdir() if p.name.isdigit())

    def files(self, step):
        """The files of a step that are not empty."""
        files = (self.directory / str(step)).rglob("*")
        return sorted(p for p in files if p.is_file() and p.stat().st_size)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path):
    path.write_bytes(b"")


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


def damage(store, *steps):
    for step in steps:
        for path in store.files(step):
            if "d" in (path.parent.name, path.parents[1].name):
                truncate(path)
