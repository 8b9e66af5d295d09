"""Thresholds and losses of FreeMatch against NumPy, and their edge cases."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import infojax
from infojax.methods import freematch
from tests.methods import freematch_reference as reference
from tests.methods.freematch_problem import C, N, in_training, logits, losses

# Against NumPy


@pytest.mark.parametrize(("momentum", "fresh"), [(0.999, False), (0.9, True)])
def test_200_steps_agree_with_numpy(momentum, fresh):
    """Predictions become more confident and one class fades; every mask entry is compared."""

    @jax.jit
    def step(state, weak, strong):
        state, mask, labels = freematch.update(state, jax.nn.softmax(weak), momentum=momentum)
        fairness = freematch.fairness_loss(state, strong, mask)
        return state, mask, labels, freematch.unsupervised_loss(strong, labels, mask), fairness

    expected, state = reference.FreeMatch(C, momentum), freematch.init(C)
    if not fresh:
        state = in_training()
        expected.tau, expected.p, expected.h = (np.asarray(x, np.float64) for x in state)
    passed, fair = [], []
    for t in range(200):
        weak, strong = logits(t, n=48, scale=0.5 + 4 * t / 200)
        weak, strong = weak.at[:, 0].add(-t / 20), strong.at[:, 0].add(-t / 20)
        state, mask, labels, unsupervised, fairness = step(state, weak, strong)
        expected_mask, expected_labels, distance = expected.update(weak)
        np.testing.assert_allclose(state.threshold, expected.tau, rtol=2e-6)
        np.testing.assert_allclose(state.expectations, expected.p, rtol=2e-6)
        np.testing.assert_allclose(state.histogram, expected.h, rtol=2e-6)
        np.testing.assert_array_equal(labels, expected_labels)
        assert np.all(np.abs(distance) > 1e-6)  # no ties, which float32 may decide otherwise
        np.testing.assert_array_equal(np.asarray(mask, bool), expected_mask)
        np.testing.assert_allclose(
            unsupervised,
            reference.unsupervised_loss(strong, expected_labels, expected_mask),
            rtol=1e-5,
        )
        fair.append(expected.fairness_loss(strong, expected_mask))
        np.testing.assert_allclose(fairness, fair[-1], rtol=1e-5)
        passed.append(np.mean(expected_mask))
    assert np.min(passed) < 0.7 and np.max(passed) > 0.9 and np.ptp(fair) > 1


def test_state_moves_before_the_mask():
    """At momentum 0, the threshold is the mean confidence of this batch."""
    q = jnp.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7]])
    state, mask, labels = freematch.update(freematch.init(2), q, momentum=0.0)
    np.testing.assert_allclose(state.threshold, 2.2 / 3, rtol=1e-6)
    np.testing.assert_allclose(state.expectations, [0.6, 0.4], rtol=1e-6)
    np.testing.assert_allclose(state.histogram, [2 / 3, 1 / 3], rtol=1e-6)
    np.testing.assert_array_equal(mask, [1, 0, 1])  # the threshold of class 1 is 0.73 * 0.4 / 0.6
    np.testing.assert_array_equal(labels, [0, 0, 1])
    assert mask.dtype == jnp.float32 and labels.dtype == jnp.int32


def test_no_gradient_through_thresholds_and_labels():
    weak, strong = logits(0)
    gradient = jax.grad(lambda weak: sum(losses(freematch.init(C), weak, strong)[:2]))(weak)
    np.testing.assert_array_equal(gradient, 0)


def test_gradients_of_the_losses(x64):
    state = jax.tree.map(lambda x: x.astype(jnp.float64), in_training())
    weak, strong = (x.astype(jnp.float64) for x in logits(1))
    _, _, (state, mask, labels) = losses(state, weak, strong)
    assert 0 < jnp.sum(mask) < N
    fairness = jax.jit(lambda x: freematch.fairness_loss(state, x, mask))
    check_grads(fairness, (strong,), order=1, eps=1e-6)
    assert jnp.max(jnp.abs(jax.grad(fairness)(strong))) > 1e-3
    np.testing.assert_array_equal(jax.grad(fairness)(strong)[mask == 0], 0)
    unsupervised = lambda x: freematch.unsupervised_loss(x, labels, mask)  # noqa: E731
    softmax = reference.softmax(np.asarray(strong))
    expected = np.asarray(mask)[:, None] * (softmax - np.eye(C)[labels]) / N
    np.testing.assert_allclose(jax.grad(unsupervised)(strong), expected, rtol=1e-7, atol=1e-12)


def test_fixed_threshold():
    q = jnp.array([[0.95, 0.05], [0.9499, 0.0501], [0.02, 0.98], [0.5, 0.5]])
    before = freematch.init(2)
    state, mask, labels = freematch.fixed_threshold(before, q)
    assert state is before
    np.testing.assert_array_equal(mask, [1, 0, 1, 0])
    np.testing.assert_array_equal(labels, [0, 0, 1, 0])
    np.testing.assert_array_equal(freematch.fixed_threshold(before, q, threshold=0.5)[1], 1)


# Edge cases


def test_nothing_passes():
    state, strong = freematch.init(C), logits(2)[1]
    _, mask, labels = freematch.fixed_threshold(state, jnp.full((N, C), 1 / C))
    assert not jnp.any(mask)
    for loss in (
        lambda x: freematch.unsupervised_loss(x, labels, mask),
        lambda x: freematch.fairness_loss(state, x, mask),
    ):
        value, gradient = jax.value_and_grad(loss)(strong)
        assert value == 0
        np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("share", [0.0, 1e-42, 1e-37])
def test_class_never_predicted(share):
    """A class absent from the strong predictions of this batch and from all pseudo-labels."""
    histogram = jnp.array([0.3, 0.3, 0.4, share, share])
    state = freematch.State(jnp.float32(0.5), jnp.full(C, 0.2), histogram)
    expected = reference.FreeMatch(C)
    expected.p, expected.h = np.full(C, 0.2), np.where(histogram > 1e-38, histogram, 0)
    strong = logits(3)[1].at[:, 3:].set(-3)
    mask = jnp.ones(N)
    value, gradient = jax.value_and_grad(lambda x: freematch.fairness_loss(state, x, mask))(strong)
    np.testing.assert_allclose(value, expected.fairness_loss(strong, mask == 1), rtol=1e-5)
    assert jnp.all(jnp.isfinite(gradient)) and (share == 1e-37 or jnp.any(gradient))


def test_one_class():
    state, mask, labels = freematch.update(freematch.init(1), jnp.ones((3, 1)))
    assert state.threshold == state.expectations[0] == state.histogram[0] == 1
    np.testing.assert_array_equal(mask, 1)
    value, gradient = jax.value_and_grad(
        lambda x: (
            freematch.unsupervised_loss(x, labels, mask) + freematch.fairness_loss(state, x, mask)
        )
    )(jnp.arange(3.0)[:, None])
    assert value == 0
    np.testing.assert_array_equal(gradient, 0)


def test_nan_in_nan_out():
    q = jnp.full((4, C), 0.2).at[2, 1].set(jnp.nan)
    state, mask, labels = freematch.update(freematch.init(C), q)
    assert jnp.isnan(state.threshold) and jnp.all(jnp.isnan(mask))
    strong = logits(4)[1][:4]
    assert jnp.isnan(freematch.unsupervised_loss(strong, labels, mask))
    assert jnp.isnan(freematch.fairness_loss(state, strong, mask))
    np.testing.assert_array_equal(
        jnp.isnan(freematch.fixed_threshold(freematch.init(C), q)[1]), [0, 0, 1, 0]
    )
    for passing in (jnp.ones(4), jnp.zeros(4), jnp.arange(4.0) % 2):
        loss = freematch.fairness_loss(freematch.init(C), strong.at[2, 1].set(jnp.nan), passing)
        assert jnp.isnan(loss)


def test_half_precision_is_widened():
    weak, strong = logits(5)
    q = jax.nn.softmax(weak).astype(jnp.bfloat16)
    state, mask, labels = freematch.update(freematch.init(C), q)
    wide = freematch.update(freematch.init(C), q.astype(jnp.float32))
    np.testing.assert_array_equal(mask, wide[1])
    assert state.threshold == wide[0].threshold and state.threshold.dtype == jnp.float32
    assert freematch.fairness_loss(state, strong.astype(jnp.bfloat16), mask).dtype == jnp.float32
    assert freematch.unsupervised_loss(strong, labels, mask).dtype == jnp.float32


def test_errors_name_the_argument():
    state, strong, mask = freematch.init(C), jnp.ones((N, C)), jnp.ones(N)
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        freematch.init(0)
    for step in (freematch.update, freematch.fixed_threshold):
        with pytest.raises(ValueError, match=r"q must have one column .* 5 classes.*\(16, 4\)"):
            step(state, strong[:, :4])
        with pytest.raises(ValueError, match=r"q must have 2 dimensions, got shape \(16,\)"):
            step(state, mask)
    with pytest.raises(ValueError, match=r"logits must have one column .*\(16, 4\)"):
        freematch.fairness_loss(state, strong[:, :4], mask)
    with pytest.raises(ValueError, match=r"logits and mask .* \(16, 5\) and \(15,\)"):
        freematch.fairness_loss(state, strong, mask[1:])
    with pytest.raises(ValueError, match=r"mask must hold real .* bool of shape \(16,\)"):
        freematch.unsupervised_loss(strong, jnp.zeros(N, int), mask == 1)
    with pytest.raises(ValueError, match=r"labels must be integer .*\(16,\).*\(15,\)"):
        freematch.unsupervised_loss(strong, jnp.zeros(15, int), mask)


# Information losses of the samples that pass


def information(z, v, mask):
    rows = mask[:, None] * z, mask[:, None] * v
    return infojax.losses.information_loss(*rows, 0.7, 0.3), infojax.interplay(*rows)


@pytest.mark.parametrize(("d", "e"), [(6, 4), (3, 2)])
def test_masked_rows_leave_the_information_loss(d, e):
    """Rows multiplied by the mask have the value and gradient of the rows that pass.

    For n > d e, the joint entropy of all rows takes another route than that of the subset.
    """
    rng = np.random.default_rng(8)
    z = jnp.asarray(rng.normal(size=(N, d)), jnp.float32)
    v = jnp.asarray(rng.normal(size=(N, e)), jnp.float32)
    f = jax.jit(jax.value_and_grad(information, argnums=(0, 1), has_aux=True))
    for chosen in ([0, 3, 4, 9, 15], [7], []):
        mask = jnp.zeros(N).at[jnp.asarray(chosen, int)].set(1)
        (value, fields), gradient = f(z, v, mask)
        for by_rows in gradient:
            np.testing.assert_array_equal(by_rows[mask == 0], 0)
        if not chosen:
            np.testing.assert_array_equal([value, *fields], 0)
            continue
        rows = jnp.asarray(chosen)
        (expected, expected_fields), expected_gradient = f(z[rows], v[rows], jnp.ones(len(rows)))
        np.testing.assert_allclose(value, expected, atol=2e-6)
        np.testing.assert_allclose(fields, expected_fields, atol=5e-6)
        assert len(chosen) == 1 or abs(expected) > 0.05
        for got, want in zip(gradient, expected_gradient, strict=True):
            np.testing.assert_allclose(got[rows], want, atol=5e-6)
            assert len(chosen) == 1 or jnp.max(jnp.abs(want)) > 0.01
