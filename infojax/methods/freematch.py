"""FreeMatch and FixMatch: selection of unlabelled samples by confidence, and their losses.

With `q = softmax(logits_weak)`, the pseudo-label of a sample is `c = argmax q`. The sample passes
if `max q >= τ p̃[c] / max p̃` (FreeMatch) or if `max q` reaches a fixed threshold (FixMatch).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks
from infojax._meshes import replicated
from infojax.losses import cross_entropy


class State(NamedTuple):
    """Moving averages over the weakly augmented samples seen so far.

    Attributes:
      threshold: τ, mean confidence `max q`, float [].
      expectations: p̃, mean probability per class, float [C].
      histogram: h̃, share of each class among the pseudo-labels, float [C].
    """

    threshold: jax.Array
    expectations: jax.Array
    histogram: jax.Array


def init(num_classes: int) -> State:
    """Returns the initial state: `1 / C` everywhere, float32.

    >>> init(4).threshold.item()
    0.25
    """
    if num_classes < 1:
        raise ValueError(f"num_classes must be at least 1, got {num_classes}")
    uniform = jnp.full(num_classes, 1 / num_classes, jnp.float32)
    return State(uniform[0], uniform, uniform)


@replicated
def update(
    state: State, q: ArrayLike, axis_name: str | None = None, momentum: float = 0.999
) -> tuple[State, jax.Array, jax.Array]:
    r"""One step of the self-adaptive thresholds, and the samples that pass them.

    .. math:: \tau \leftarrow m \tau + (1 - m) \overline{\max q}, \qquad
       \tilde p \leftarrow m \tilde p + (1 - m) \overline{q}, \qquad
       \tilde h \leftarrow m \tilde h + (1 - m) \mathrm{hist}(\arg\max q)

    Means are over the global batch. The mask is `max q >= τ p̃[c] / max p̃` after the update.

    Args:
      state: state after the previous step.
      q: probabilities of the weakly augmented samples, floating [n, C]; no gradient flows.
      axis_name: mapped axis over which the batch is split, if any.
      momentum: m.

    Returns:
      `(state, mask, pseudo_labels)`: mask float [n] of ones and zeros, labels int32 [n], of the
      local samples. NaN anywhere in q makes τ, p̃ and the whole mask NaN permanently.

    Raises:
      ValueError: q is not a real matrix with C columns.

    References:
      Wang et al. 2023, FreeMatch: self-adaptive thresholding for semi-supervised learning (ICLR).

    >>> import jax.numpy as jnp
    >>> _, mask, labels = update(init(2), jnp.array([[0.9, 0.1], [0.5, 0.5]]))
    >>> mask.tolist(), labels.tolist()
    ([1.0, 0.0], [0, 0])
    """
    q, confidence, labels = _predictions(state, q)
    found = jnp.mean(confidence), jnp.mean(q, 0), _shares(labels, jnp.ones_like(confidence), q)
    if axis_name is not None:
        found = jax.lax.pmean(found, axis_name)
    rate = 1 - momentum  # used alone: m and 1 - m need not add up to 1 in float32
    state = State(*(old + rate * (new - old) for old, new in zip(state, found, strict=True)))
    relative = state.expectations / jnp.max(state.expectations)
    return state, _passes(confidence, state.threshold * relative[labels]), labels


@replicated
def fixed_threshold(
    state: State, q: ArrayLike, axis_name: str | None = None, threshold: float = 0.95
) -> tuple[State, jax.Array, jax.Array]:
    """FixMatch with the signature of `update`: samples with `max q >= threshold` pass.

    Args:
      state: returned unchanged.
      q: probabilities of the weakly augmented samples, floating [n, C]; no gradient flows.
      axis_name: unused, since no sample depends on another.
      threshold: lowest confidence that passes.

    Returns:
      `(state, mask, pseudo_labels)`: mask float [n] of ones and zeros, NaN where q holds NaN, and
      labels int32 [n].

    Raises:
      ValueError: q is not a real matrix with C columns.

    References:
      Sohn et al. 2020, FixMatch: simplifying semi-supervised learning.

    >>> import jax.numpy as jnp
    >>> fixed_threshold(init(2), jnp.array([[0.96, 0.04], [0.1, 0.9]]))[1].tolist()
    [1.0, 0.0]
    """
    del axis_name
    _, confidence, labels = _predictions(state, q)
    return state, _passes(confidence, jnp.full_like(confidence, threshold)), labels


@replicated
def unsupervised_loss(logits: ArrayLike, pseudo_labels: ArrayLike, mask: ArrayLike) -> jax.Array:
    """Consistency loss, the mean over **all** samples of `mask · CE(logits, pseudo_label)`.

    Args:
      logits: of the strongly augmented samples, floating [n, C].
      pseudo_labels: integer [n], in [0, C).
      mask: ones and zeros, floating [n].

    Returns:
      Loss in nats []; 0, with zero gradient, if no sample passes. On one of several devices, the
      loss of the local samples; its mean over the devices is the loss of the global batch.

    Raises:
      ValueError: logits are not real [n, C], labels not integer [n], the mask not floating [n].

    >>> import jax.numpy as jnp
    >>> logits = jnp.zeros((2, 4))
    >>> round(float(unsupervised_loss(logits, jnp.array([0, 1]), jnp.array([1.0, 0.0]))), 4)
    0.6931
    """
    strong, passing = _logits_and_mask(logits, mask)
    return jnp.mean(passing * cross_entropy(strong, pseudo_labels))


@replicated
def fairness_loss(
    state: State, logits: ArrayLike, mask: ArrayLike, axis_name: str | None = None
) -> jax.Array:
    r"""Self-adaptive fairness: pulls the predictions that pass towards the class expectations.

    .. math:: L_f = \sum_c A_c \log(B_c + 10^{-12}), \qquad
       A = \mathrm{norm}(\tilde p / \tilde h), \quad B = \mathrm{norm}(\bar p / \bar h)

    with p̄ the mean of `softmax(logits)` and h̄ the class shares of `argmax logits` over the samples
    that pass, `norm(x) = x / Σ x`, and `x / 0 := 0`. **Add** it to the loss, with a small weight.
    Only p̄ has a gradient.

    Not a mean over samples: under pmap or shard_map the samples of all replicas are gathered, and
    every replica returns the loss of the global batch. The usual `pmean` of the gradients with
    respect to the parameters then counts it once (see `infojax.losses.information_loss`).

    Args:
      state: state after this step's `update`.
      logits: of the strongly augmented samples, floating [n, C].
      mask: ones and zeros, floating [n].
      axis_name: mapped axis over which the batch is split, if any.

    Returns:
      Loss in nats [], at most 0; 0, with zero gradient, if no sample passes; NaN if the state,
      logits or mask contain NaN.

    Raises:
      ValueError: logits are not real [n, C] with the state's C, or the mask is not floating [n].

    References:
      Wang et al. 2023, FreeMatch, self-adaptive fairness.

    >>> import jax.numpy as jnp
    >>> loss = fairness_loss(init(2), jnp.zeros((3, 2)), jnp.ones(3))  # predicts only class 0
    >>> round(float(loss), 3)  # log(1) / 2 + log(1e-12) / 2
    -13.816
    """
    strong, passing = _logits_and_mask(logits, mask)
    _check_classes("logits", strong, state)
    if axis_name is not None:
        strong, passing = jax.lax.all_gather((strong, passing), axis_name, tiled=True)
    count = jnp.sum(passing)
    weight = passing / jnp.where(count == 0, 1, count)
    mean = jnp.sum(weight[:, None] * jax.nn.softmax(strong), 0)
    shares = _shares(jnp.argmax(strong, 1), passing, strong)
    target = jax.lax.stop_gradient(_debiased(state.expectations, state.histogram))
    loss = jnp.sum(target.astype(mean.dtype) * jnp.log(_debiased(mean, shares) + 1e-12))
    return jnp.where(count == 0, 0 * jnp.sum(mean), loss)


def _predictions(state: State, q: ArrayLike) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Checked probabilities in the dtype of the state, their maxima, and the classes of these."""
    q = _checks.real_array("q", q, ndim=2)
    _check_classes("q", q, state)
    q = jax.lax.stop_gradient(q).astype(state.threshold.dtype)
    return q, jnp.max(q, 1), jnp.argmax(q, 1).astype(jnp.int32)


def _passes(confidence: jax.Array, least: jax.Array) -> jax.Array:
    passes = (confidence >= least).astype(confidence.dtype)
    return passes + 0 * (confidence - least)  # NaN if one of them is


def _shares(labels: jax.Array, mask: jax.Array, like: jax.Array) -> jax.Array:
    """Share of each class [C] among the labels [n] of the samples that pass; 0 if none does."""
    counts = jnp.sum(mask[:, None] * jax.nn.one_hot(labels, like.shape[1], dtype=mask.dtype), 0)
    total = jnp.sum(counts)
    return counts / jnp.where(total == 0, 1, total)


def _debiased(p: jax.Array, h: jax.Array) -> jax.Array:
    """`p / h`, with 0 where h = 0, normalised to sum 1 unless all zero."""
    absent = h < np.finfo(h.dtype).tiny  # unseen for 10^5 steps: would overflow, counts as absent
    ratio = jnp.where(absent, 0, p / jnp.where(absent, 1, h))
    total = jnp.sum(ratio)
    return ratio / jnp.where(total == 0, 1, total)


def _logits_and_mask(logits: ArrayLike, mask: ArrayLike) -> tuple[jax.Array, jax.Array]:
    logits = _checks.real_array("logits", logits, ndim=2)
    mask = _checks.real_array("mask", mask, ndim=1)
    _checks.same_rows("logits", logits, "mask", mask)
    return logits, jax.lax.stop_gradient(mask).astype(logits.dtype)


def _check_classes(name: str, x: jax.Array, state: State) -> None:
    if x.shape[1] != state.histogram.shape[0]:
        raise ValueError(
            f"{name} must have one column for each of the {state.histogram.shape[0]} classes, "
            f"got shape {x.shape}"
        )
