"""The step of FreeMatch and FixMatch against their definitions, and its edge cases."""

import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from infojax import losses, training
from infojax.data.augment import flip_and_crop
from infojax.data.randaugment import augment
from infojax.data.sampling import shuffled_epochs
from infojax.methods import freematch
from infojax.models.wide_resnet import WideResNet
from launch import few_labels
from launch.experiments import semisupervised
from tests import reference
from tests.launch.experiments import semisupervised_problem as problem
from tests.launch.experiments.supervised_problem import flat
from tests.methods.freematch_reference import FreeMatch, unsupervised_loss

B, M = 16, 32


@pytest.fixture(scope="module")
def program():
    return semisupervised.build(problem.config())


def _batch(program, settings, seed):
    """Standardised images of the first step and their labels, drawn from the key alone."""
    data = program.network.data
    keys = [jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), i) for i in range(6)]
    images, labels = (jnp.asarray(x) for x in data.train)

    def crops(key, rows):
        positions = jnp.arange(len(rows), dtype=jnp.int32)
        return flip_and_crop(key, images, rows, positions, settings.crop_padding, settings.flip)

    kept = jnp.asarray(semisupervised.labelled_set(program.network, settings, seed))
    first = kept[shuffled_epochs(keys[0], jnp.arange(B, dtype=jnp.int32), len(kept))]
    others = jnp.arange(M, dtype=jnp.int32)
    rows = shuffled_epochs(keys[2], others, len(images))
    strong = augment(keys[5], crops(keys[4], rows), others)
    x = jnp.concatenate([crops(keys[1], first), crops(keys[3], rows), strong])
    x = (np.asarray(x) / 255 - data.mean) / data.std
    return jnp.asarray(x, jnp.float32), labels[first], labels[rows]


@pytest.fixture(scope="module")
def first(program):
    """One joint forward pass of the first batch, FreeMatch in NumPy on it, and the next state."""
    settings = problem.config()
    x, y, truth = _batch(program, settings, 3)
    model = WideResNet(10, depth=10, width=1, decay=settings.batchnorm_decay)
    start = problem.start(program, settings)
    variables = {"batch_stats": start.model_state["batch_stats"]}

    @jax.jit
    def forward(params):
        return model.apply({"params": params, **variables}, x, train=True, mutable=["batch_stats"])

    (z, logits), statistics = jax.device_get(forward(start.params))
    weak = logits[B : B + M]
    theirs = FreeMatch(10, settings.threshold_momentum)
    confidence = np.max(jax.nn.softmax(weak), 1)
    theirs.tau = float(np.quantile(confidence, 0.4))  # so that some pass and some do not
    thresholds = freematch.init(10)._replace(threshold=jnp.float32(theirs.tau))
    mask, pseudo, distance = theirs.update(weak)
    assert 0.2 < mask.mean() < 0.8 and np.abs(distance).min() > 1e-5
    return SimpleNamespace(
        **{"start": start, "forward": forward, "z": z, "logits": logits, "y": y, "truth": truth},
        **{"statistics": statistics, "theirs": theirs, "mask": mask, "pseudo": pseudo},
        passing=np.concatenate([np.arange(B), B + M + np.flatnonzero(mask)]),
        given=jnp.concatenate([y, jnp.asarray(pseudo[mask], jnp.int32)]),
        after=problem.advanced(program, settings, problem.start(program, settings, thresholds), 1),
    )


def test_step_is_sgd_on_freematchs_loss(first):
    """Two devices against one, with SGD written out."""
    theirs, unlabelled = first.theirs, first.passing[B:]

    def loss_fn(params):
        (z, logits), _ = first.forward(params)
        ce = jnp.mean(losses.cross_entropy(logits[:B], first.y))
        ce_u = jnp.sum(losses.cross_entropy(logits[unlabelled], first.given[B:])) / M
        state = freematch.State(
            *(jnp.asarray(s, jnp.float32) for s in (theirs.tau, theirs.p, theirs.h))
        )
        fair = freematch.fairness_loss(state, logits[unlabelled], jnp.ones(len(unlabelled)))
        v = params["head"]["kernel"].T[first.given]
        return ce + ce_u + 0.05 * fair + losses.information_loss(z[first.passing], v, 0.2, 0.3)

    start, after = first.start.params, first.after
    loss, gradient = jax.jit(jax.value_and_grad(loss_fn))(start)
    np.testing.assert_allclose(after.loss, loss, rtol=1e-4)
    decay = lambda g, p: g + np.float32(5e-4 if p.ndim > 1 else 0) * p  # noqa: E731
    gradient = jax.tree.map(decay, gradient, start)
    params = optax.tree_utils.tree_add_scale(start, -0.1 * 1.9, gradient)
    statistics = {"batch_stats": after.model_state["batch_stats"]}
    for got, expected in ((after.params, params), (statistics, first.statistics)):
        want = flat(expected)
        np.testing.assert_allclose(flat(got), want, atol=2e-5 * np.abs(want).max())


def test_terms_are_those_of_freematch(first):
    """So are the thresholds after the step."""
    theirs, after, mask, pseudo = first.theirs, first.after, first.mask, first.pseudo
    labelled, strong, y = first.logits[:B], first.logits[B + M :], np.asarray(first.y)
    k1 = reference.gram(first.z[first.passing])
    k2 = reference.gram(first.start.params["head"]["kernel"].T[first.given])
    terms = {
        "cross_entropy": np.mean(reference.cross_entropy(labelled, y)),
        "accuracy": np.mean(np.argmax(labelled, 1) == y),
        "unsupervised": unsupervised_loss(strong, pseudo, mask),
        "fairness": theirs.fairness_loss(strong, mask),
        "threshold": theirs.tau,
        "lowest_threshold": theirs.tau * min(theirs.p) / max(theirs.p),
        "mask_rate": np.mean(mask),
        "pseudo_label_accuracy": np.mean(pseudo[mask] == np.asarray(first.truth)[mask]),
        "mutual_information": reference.mutual_information(k1, k2),
        "entropy_difference": abs(reference.entropy(k1) - reference.entropy(k2)),
        "mir": reference.mir(k1, k2),
        "hdr": reference.hdr(k1, k2),
    }
    assert set(after.terms) == set(terms)
    for name, value in terms.items():
        np.testing.assert_allclose(after.terms[name], value, rtol=1e-4, err_msg=name)
    total = terms["cross_entropy"] + terms["unsupervised"] + 0.05 * terms["fairness"]
    total += 0.3 * terms["entropy_difference"] - 0.2 * terms["mutual_information"]
    np.testing.assert_allclose(after.loss, total, rtol=1e-4)
    found = after.model_state["freematch"]
    np.testing.assert_allclose(found.threshold, theirs.tau, rtol=1e-5)
    np.testing.assert_allclose(found.expectations, theirs.p, rtol=1e-4)
    np.testing.assert_allclose(found.histogram, theirs.h, rtol=1e-5)


def test_nothing_passes(program):
    """Unlabelled images add no loss and no gradient at any weight, and no NaN."""
    out_of_reach = freematch.init(10)._replace(threshold=jnp.float32(50))
    with_weights, without = (
        problem.advanced(program, settings, problem.start(program, settings, out_of_reach), 3)
        for settings in (
            problem.config(unsupervised_weight=7.0, fairness_weight=3.0),
            problem.config(unsupervised_weight=0.0, fairness_weight=0.0),
        )
    )
    terms = with_weights.terms
    for name in ("unsupervised", "fairness", "mask_rate", "pseudo_label_accuracy"):
        assert terms[name] == 0, name
    assert terms["threshold"] > 10 and terms["mutual_information"] > 0
    assert np.all(np.isfinite(flat(with_weights.params)))
    np.testing.assert_array_equal(flat(with_weights.params), flat(without.params))


def test_a_class_never_predicted(program):
    """Its share of the pseudo-labels drops to zero, its threshold is the lowest; no NaN."""
    settings = problem.config()
    state = problem.start(program, settings)
    bias = state.params["head"]["bias"].at[7].set(-1e4)
    params = {**state.params, "head": {**state.params["head"], "bias": bias}}
    thresholds = freematch.init(10)
    thresholds = thresholds._replace(histogram=thresholds.histogram.at[7].set(0))
    after = problem.advanced(
        program, settings, problem.start(program, settings, thresholds).replace(params=params), 3
    )
    found = after.model_state["freematch"]
    assert found.histogram[7] == 0 and np.argmin(found.expectations) == 7
    assert after.step == 3 and after.terms["mask_rate"] > 0
    assert np.all(np.isfinite(flat((after.params, after.terms, found))))


def test_fixmatch_passes_by_a_fixed_threshold():
    """Half of the true labels are unknown and do not count."""
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(2, 2, 8, 5)).astype(np.float32) * 3
    truth = np.argmax(weak, -1).astype(np.int32)
    truth[0, :4] = (truth[0, :4] + 1) % 5
    truth[1] = -1
    settings = problem.config(method="fixmatch", fixed_threshold=0.6)
    terms = functools.partial(few_labels._unlabelled_terms, settings)
    state = training.replicate(freematch.init(5))
    after, pseudo, found = training.mapped(terms)(state, weak, strong, truth)
    passes = np.max(jax.nn.softmax(weak), -1) >= 0.6
    assert passes[0, :4].sum() > 0 and passes[0, 4:].sum() > 0 and not passes.all()
    np.testing.assert_array_equal(pseudo.mask, passes.astype(np.float32))
    np.testing.assert_array_equal(pseudo.labels, np.argmax(weak, -1))
    right = passes[0, 4:].sum() / passes[0].sum()
    np.testing.assert_allclose(found["pseudo_label_accuracy"], [right] * 2, rtol=1e-6)
    np.testing.assert_allclose(found["threshold"], 0.6, rtol=1e-6)
    np.testing.assert_allclose(found["mask_rate"], passes.mean(1), rtol=1e-6)
    assert not np.any(found["fairness"])
    jax.tree.map(np.testing.assert_array_equal, after, state)
