"""Logits of unlabelled samples, a state, and the losses of one FreeMatch step."""

import jax
import jax.numpy as jnp
import numpy as np

from infojax.methods import freematch

N, C = 16, 5


def logits(seed, n=N, scale=2.0):
    """Correlated weak and strong logits [n, C], for classes of unequal frequency."""
    rng = np.random.default_rng(seed)
    offset = np.linspace(0, 1.5, C)
    weak = scale * rng.normal(size=(n, C)) + offset
    strong = weak + rng.normal(size=(n, C))
    return jnp.asarray(weak, jnp.float32), jnp.asarray(strong, jnp.float32)


def losses(state, weak, strong, axis_name=None):
    """Both losses of a step, and `(state, mask, labels)`."""
    q = jax.nn.softmax(weak)
    state, mask, labels = freematch.update(state, q, axis_name, 0.9)
    unsupervised = freematch.unsupervised_loss(strong, labels, mask)
    fairness = freematch.fairness_loss(state, strong, mask, axis_name)
    return unsupervised, fairness, (state, mask, labels)


def in_training():
    """A state with which some samples pass and others do not."""
    p, h = np.array([[0.1, 0.15, 0.2, 0.25, 0.3], [0.05, 0.15, 0.2, 0.2, 0.4]], np.float32)
    return freematch.State(jnp.float32(0.85), jnp.asarray(p), jnp.asarray(h))
