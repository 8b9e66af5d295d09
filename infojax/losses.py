"""Losses: information of features and head rows, cross-modal alignment, exact cross-entropy."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from infojax import _checks, spectrum
from infojax._meshes import replicated
from infojax.alignment import cross_modal_alignment as cross_modal_alignment
from infojax.information import Entropy, interplay
from infojax.matrices import Interplay


@replicated
def information_loss(
    z: ArrayLike,
    v: ArrayLike,
    mi_weight: float,
    id_weight: float,
    axis_name: str | None = None,
    *,
    mask: ArrayLike | None = None,
    entropy: Entropy = spectrum.product_entropy,
) -> jax.Array:
    """Information terms of the training loss, `-λ_mi I(G(Z); G(V)) + λ_id |H(G(Z)) - H(G(V))|`.

    Entropy is not a mean over samples: under pmap or shard_map the rows of all replicas are
    gathered, and every replica returns the loss of the global batch. The usual `pmean` of the
    replicas' gradients then gives the gradient of this loss. (Under shard_map with
    `check_vma=True`, first cast replicated parameters to varying,
    `jax.lax.pcast(params, axis_name, to="varying")`.)

    Args:
      z: features, floating [n, d] or [..., d].
      v: head rows of the same samples, `w[y]`, floating [n, e] or [..., e].
      mi_weight: λ_mi, weight of the mutual information, to be maximised.
      id_weight: λ_id, weight of the entropy difference, to be minimised.
      axis_name: mapped axis that the batch is split over, if any.
      mask: bool [n] or [...]; samples with False are ignored, whatever z and v hold there.
      entropy: called as `entropy(k, alpha=1.0)` with products X Xᵀ;
        `infojax.squarings.product_entropy` needs no eigensolver.

    Returns:
      Loss in nats []. Finite, with finite derivatives, for any finite z and v.

    Raises:
      ValueError: z or v is not a real matrix, or they differ in rows or dtype; the mask is not
        bool or does not fit.

    References:
      Song et al. 2024, section 6 (the losses of table 2).

    >>> import jax.numpy as jnp
    >>> round(float(information_loss(jnp.eye(2), jnp.eye(2), 1.0, 1.0)), 4)  # -log 2
    -0.6931
    """
    shared = global_interplay(z, v, axis_name, mask=mask, entropy=entropy)
    difference = jnp.abs(shared.entropy_z - shared.entropy_v)
    return id_weight * difference - mi_weight * shared.mutual_information


@replicated
def global_interplay(
    z: ArrayLike,
    v: ArrayLike,
    axis_name: str | None = None,
    *,
    mask: ArrayLike | None = None,
    entropy: Entropy = spectrum.product_entropy,
) -> Interplay:
    """Interplay of the samples of all replicas, for losses composed of its fields.

    Args:
      z: features, floating [n, d] or [..., d].
      v: head rows of the same samples, floating [n, e] or [..., e].
      axis_name: as in `information_loss`, which also describes how to combine gradients.
      mask: as in `information_loss`.
      entropy: as in `information_loss`.

    Returns:
      An `Interplay` of scalars, the same on every replica.

    Raises:
      ValueError: as for `infojax.interplay`.

    >>> import jax.numpy as jnp
    >>> round(float(global_interplay(jnp.eye(2), jnp.eye(2)).mir), 4)
    1.0
    """
    if axis_name is not None:
        z, v, mask = jax.lax.all_gather((z, v, mask), axis_name, tiled=True)
    return interplay(z, v, mask=mask, entropy=entropy)


def cross_entropy(
    logits: ArrayLike, labels: ArrayLike, smoothing: float | jax.Array = 0.0
) -> jax.Array:
    r"""Cross-entropy with label smoothing, computed from margins, exact at any magnitude.

    .. math:: L = \log(1 + \sum_{j \ne y} e^{m_j}) - \frac{\varepsilon}{C} \sum_{j \ne y} m_j,
       \qquad m_j = l_j - l_y

    `logsumexp(l) - l_y` suffers from cancellation: in float32 it is 0 below 1e-7, and its gradient
    loses all digits long before that. Here only the margins themselves are differences of nearly
    equal numbers, in value and gradient.

    Args:
      logits: floating [..., C]; float16 and bfloat16 are widened to float32. Classes other than
        the label may have -inf, for probability zero; any other infinity gives NaN.
      labels: class of each example, integer [...], in [0, C); the loss is NaN for other labels.
      smoothing: ε in [0, 1]; the target is `(1 - ε) onehot(y) + ε / C`. A JAX scalar is not
        checked, so that one compiled step works for every ε.

    Returns:
      Loss of each example in nats [...].

    Raises:
      ValueError: logits are not real, labels are not integer [...], or ε is outside [0, 1].

    References:
      Szegedy et al. 2016, section 7 (label smoothing).

    >>> import jax.numpy as jnp
    >>> print(f"{cross_entropy(jnp.array([40.0, 0.0]), jnp.array(0)):.4e}")
    4.2484e-18
    """
    logits = _checks.real_array("logits", logits)
    if logits.ndim == 0:
        raise ValueError(f"logits must have shape [..., C], got {logits.shape}")
    labels = _checks.labels("labels", labels, *logits.shape[:-1])
    if not isinstance(smoothing, jax.Array):
        smoothing = _checks.number("smoothing", smoothing)
        if not 0 <= smoothing <= 1:
            raise ValueError(f"smoothing must be in [0, 1], got {smoothing}")
    c = logits.shape[-1]
    is_label = jnp.expand_dims(labels, -1) == jax.lax.broadcasted_iota(
        labels.dtype, logits.shape, logits.ndim - 1
    )
    own = jnp.sum(jnp.where(is_label, logits, 0), -1, keepdims=True)
    margins = logits - own
    lowest = np.finfo(logits.dtype).min / 2  # exp gives 0, as for -inf, and nothing is infinite
    others = jnp.where(is_label, lowest, margins)
    top = jax.lax.stop_gradient(jnp.maximum(jnp.max(others, -1), 0))
    loss = top + jnp.log1p(jnp.expm1(-top) + jnp.sum(jnp.exp(others - top[..., None]), -1))
    if isinstance(smoothing, jax.Array) or smoothing:
        loss = loss - smoothing / c * jnp.sum(jnp.where(is_label, 0, margins), -1)
    valid = (labels >= 0) & (labels < c) & jnp.isfinite(own[..., 0])
    return _checks.nan_unless(valid, loss)
