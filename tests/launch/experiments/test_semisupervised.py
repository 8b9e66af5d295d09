"""The whole step of FreeMatch against its definition, its edge cases, and runs of it."""

import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs.semisupervised import get_config
from infojax import losses, training
from infojax.data.augment import flip_and_crop
from infojax.data.randaugment import augment
from infojax.data.sampling import shuffled_epochs
from infojax.errors import UserError
from infojax.methods import freematch
from infojax.models.wide_resnet import WideResNet
from infojax.training.recorder import read_records
from launch import classifier, plots, semisupervised, semisupervised_loss, supervised, sweep
from launch.workdir import write_json
from tests import reference
from tests.methods.freematch_reference import FreeMatch, unsupervised_loss

B, M = 16, 32


def _config(**changes):
    """The smoke variant with a single labelled image a class, and all terms of the loss."""
    settings = get_config("smoke")
    weights = {"mi_weight": 0.2, "id_weight": 0.3, "fairness_weight": 0.05}
    settings.update({"num_labels": 10, "population_splits": (), **weights, **changes})
    return settings


@pytest.fixture(scope="module")
def program():
    return semisupervised.build(_config())


def _flat(tree):
    return np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])


def _start(program, settings, thresholds=None):
    state = semisupervised.init_state(program, settings, 3)
    if thresholds is not None:
        state = state.replace(model_state={**state.model_state, "freematch": thresholds})
    return state


def _advanced(program, settings, state, steps, seed=3):
    held = semisupervised.held_data(program, settings, seed)
    return jax.device_get(
        training.single(program.network.advance(training.replicate(state), held, steps))
    )


def _batch(program, settings, seed):
    """The images of the first step from the key alone; standardised, and their labels."""
    data = program.network.data
    keys = [jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 1), i) for i in range(6)]
    images, labels = (jnp.asarray(x) for x in data.train)

    def crops(key, rows):
        positions = jnp.arange(len(rows), dtype=jnp.int32)
        return flip_and_crop(key, images, rows, positions, settings.crop_padding, settings.flip)

    kept = jnp.asarray(semisupervised.labelled_set(program, settings, seed))
    first = kept[shuffled_epochs(keys[0], jnp.arange(B, dtype=jnp.int32), len(kept))]
    others = jnp.arange(M, dtype=jnp.int32)
    rows = shuffled_epochs(keys[2], others, len(images))
    strong = augment(keys[5], crops(keys[4], rows), others)
    x = jnp.concatenate([crops(keys[1], first), crops(keys[3], rows), strong])
    x = (np.asarray(x) / 255 - data.mean) / data.std
    return jnp.asarray(x, jnp.float32), labels[first], labels[rows]


def test_step_is_sgd_on_freematchs_loss(program):
    """On two devices against one joint forward, NumPy's FreeMatch and SGD written out."""
    settings = _config()
    x, y, truth = _batch(program, settings, 3)
    model = WideResNet(10, depth=10, width=1, decay=settings.batchnorm_decay)
    start = _start(program, settings)
    variables = {"batch_stats": start.model_state["batch_stats"]}

    @jax.jit
    def forward(params):
        return model.apply({"params": params, **variables}, x, train=True, mutable=["batch_stats"])

    (z, logits), statistics = jax.device_get(forward(start.params))
    weak, strong = logits[B : B + M], logits[B + M :]
    theirs = FreeMatch(10, settings.threshold_momentum)
    confidence = np.max(jax.nn.softmax(weak), 1)
    theirs.tau = float(np.quantile(confidence, 0.4))  # so that some pass and some do not
    thresholds = freematch.init(10)._replace(threshold=jnp.float32(theirs.tau))
    mask, pseudo, distance = theirs.update(weak)
    assert 0.2 < mask.mean() < 0.8 and np.abs(distance).min() > 1e-5
    passing = np.concatenate([np.arange(B), B + M + np.flatnonzero(mask)])
    given = jnp.concatenate([y, jnp.asarray(pseudo[mask], jnp.int32)])

    def loss_fn(params):
        (z, logits), _ = forward(params)
        ce = jnp.mean(losses.cross_entropy(logits[:B], y))
        ce_u = jnp.sum(losses.cross_entropy(logits[passing[B:]], given[B:])) / M
        state = freematch.State(
            *(jnp.asarray(s, jnp.float32) for s in (theirs.tau, theirs.p, theirs.h))
        )
        fair = freematch.fairness_loss(state, logits[passing[B:]], jnp.ones(len(passing) - B))
        v = params["head"]["kernel"].T[given]
        return ce + ce_u + 0.05 * fair + losses.information_loss(z[passing], v, 0.2, 0.3)

    loss, gradient = jax.jit(jax.value_and_grad(loss_fn))(start.params)
    after = _advanced(program, settings, _start(program, settings, thresholds), 1)
    decay = lambda g, p: g + np.float32(5e-4 if p.ndim > 1 else 0) * p  # noqa: E731
    gradient = jax.tree.map(decay, gradient, start.params)
    params = optax.tree_utils.tree_add_scale(start.params, -0.1 * 1.9, gradient)
    expected = {"params": params, "batch_stats": statistics}
    got = {"params": after.params, "batch_stats": {"batch_stats": after.model_state["batch_stats"]}}
    for name, tree in expected.items():
        want = _flat(tree)
        np.testing.assert_allclose(_flat(got[name]), want, atol=2e-5 * np.abs(want).max())

    k1, k2 = reference.gram(z[passing]), reference.gram(start.params["head"]["kernel"].T[given])
    terms = {
        "cross_entropy": np.mean(reference.cross_entropy(logits[:B], y)),
        "accuracy": np.mean(np.argmax(logits[:B], 1) == np.asarray(y)),
        "unsupervised": unsupervised_loss(strong, pseudo, mask),
        "fairness": theirs.fairness_loss(strong, mask),
        "threshold": theirs.tau,
        "lowest_threshold": theirs.tau * min(theirs.p) / max(theirs.p),
        "mask_rate": np.mean(mask),
        "pseudo_label_accuracy": np.mean(pseudo[mask] == np.asarray(truth)[mask]),
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
    np.testing.assert_allclose([after.loss, loss], total, rtol=1e-4)
    found = after.model_state["freematch"]
    np.testing.assert_allclose(found.threshold, theirs.tau, rtol=1e-5)
    np.testing.assert_allclose(found.expectations, theirs.p, rtol=1e-4)
    np.testing.assert_allclose(found.histogram, theirs.h, rtol=1e-5)


def test_nothing_passes(program):
    """No loss and no gradient of the unlabelled images, whatever the weights; no NaN."""
    out_of_reach = freematch.init(10)._replace(threshold=jnp.float32(50))
    with_weights, without = (
        _advanced(program, settings, _start(program, settings, out_of_reach), 3)
        for settings in (
            _config(unsupervised_weight=7.0, fairness_weight=3.0),
            _config(unsupervised_weight=0.0, fairness_weight=0.0),
        )
    )
    terms = with_weights.terms
    for name in ("unsupervised", "fairness", "mask_rate", "pseudo_label_accuracy"):
        assert terms[name] == 0, name
    assert terms["threshold"] > 10 and terms["mutual_information"] > 0
    assert np.all(np.isfinite(_flat(with_weights.params)))
    np.testing.assert_array_equal(_flat(with_weights.params), _flat(without.params))


def test_a_class_never_predicted(program):
    """Its share of the pseudo-labels goes to zero; its threshold is the lowest; no NaN."""
    settings = _config()
    state = _start(program, settings)
    bias = state.params["head"]["bias"].at[7].set(-1e4)
    params = {**state.params, "head": {**state.params["head"], "bias": bias}}
    thresholds = freematch.init(10)
    thresholds = thresholds._replace(histogram=thresholds.histogram.at[7].set(0))
    after = _advanced(
        program, settings, _start(program, settings, thresholds).replace(params=params), 3
    )
    found = after.model_state["freematch"]
    assert found.histogram[7] == 0 and np.argmin(found.expectations) == 7
    assert after.step == 3 and after.terms["mask_rate"] > 0
    assert np.all(np.isfinite(_flat((after.params, after.terms, found))))


def test_fixmatch_passes_by_a_fixed_threshold():
    """Half of the truth is unknown: it does not count."""
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(2, 2, 8, 5)).astype(np.float32) * 3
    truth = np.argmax(weak, -1).astype(np.int32)
    truth[0, :4] = (truth[0, :4] + 1) % 5
    truth[1] = -1
    settings = _config(method="fixmatch", fixed_threshold=0.6)
    terms = functools.partial(semisupervised_loss._unlabelled_terms, settings)
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


def test_one_program_serves_seeds_and_weights(program, monkeypatch):
    settings = _config()
    state = _start(program, settings)
    first = _flat(_advanced(program, settings, state, 2).params)
    monkeypatch.setattr(losses, "global_interplay", None)  # tracing the loss anew would fail
    others = [
        {"mi_weight": 0.0}, {"id_weight": 0.0}, {"unsupervised_weight": 0.0},
        {"fairness_weight": 0.0}, {"learning_rate": 0.01}, {"weight_decay": 0.1}, {"label_seed": 9},
    ]  # fmt: skip
    assert set(semisupervised.TRACED) == {"seed"}.union(*others)
    for change in others:
        other = _config(**change)
        found = _advanced(program, other, _start(program, other), 2)
        assert np.abs(_flat(found.params) - first).max() > 1e-6, change


def test_a_run_and_its_resumption(program, tmp_path):
    """Bit for bit, thresholds included; best accuracy follows from the records."""
    settings = _config(num_seeds=2, label_seed=5)
    whole, again = tmp_path / "whole", tmp_path / "again"
    state = semisupervised.run_seed(program, settings, 0, whole)
    shutil.copytree(whole, again)
    shutil.rmtree(again / "checkpoints" / "12")
    resumed = semisupervised.run_seed(program, settings, 0, again)
    jax.tree.map(np.testing.assert_array_equal, state, resumed)
    assert float(state.model_state["freematch"].threshold) != pytest.approx(0.1, abs=1e-3)
    records, others = read_records(whole), read_records(again)
    assert [r["step"] for r in records] == [0, 4, 8, 12]
    drop = lambda r: {k: v for k, v in r.items() if k != "seconds"}  # noqa: E731
    assert list(map(drop, records)) == list(map(drop, others))
    accuracy = [r["test/accuracy"] for r in records]
    assert [r["test/best_accuracy"] for r in records] == list(np.maximum.accumulate(accuracy))
    assert records[-1]["test/raw_accuracy"] != accuracy[-1]  # of other parameters
    kept = json.loads((whole / "labelled.json").read_text())
    assert kept["label_seed"] == 5
    assert kept["indices"] == semisupervised.labelled_set(program, settings, 0).tolist()
    second = semisupervised.labelled_set(program, settings, 1)
    changed = _config(label_seed=6)
    np.testing.assert_array_equal(semisupervised.labelled_set(program, changed, 0), second)
    assert second.tolist() != kept["indices"]

    write_json(whole / "config.json", json.loads(settings.to_json()))
    (path,) = plots.draw([whole], tmp_path / "figures")
    assert path.name == "semisupervised.png" and path.stat().st_size > 20_000
    observed = semisupervised._observed(records, program, settings)
    assert observed["best_accuracy"]["measured"] == max(accuracy)
    right = records[-1]["batch/pseudo_label_accuracy"]
    assert observed["pseudo_labels"]["measured"] == right


def test_grid_of_methods(tmp_path):
    """Both methods train on the same labelled images of each seed."""
    config = get_config("smoke-grid")
    config.update({"num_steps": 4, "population_splits": ()})
    write_json(tmp_path / "config.json", json.loads(config.to_json()))
    sweep.run(config, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["seeds"] == [0, 1]
    assert [p["values"]["method"] for p in summary["points"]] == ["freematch", "supervised"]
    assert set(summary["points"][1]["metrics"]) == set(config.table_metrics)
    first, second = (
        [json.loads((point / f"seed-{s}" / "labelled.json").read_text()) for s in range(2)]
        for point in (tmp_path / "points").iterdir()
    )
    assert first == second and first[0]["indices"] != first[1]["indices"]
    for path in tmp_path.glob("points/method=supervised*/seed-0"):
        assert not any("mask" in name for r in read_records(path) for name in r)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"method": "flexmatch"}, "use one of supervised, fixmatch, freematch"),
        ({"num_labels": 15}, "multiple of the 10 classes"),
        ({"num_labels": 2000}, "200 images of each class"),
        ({"batch_size": 15}, "batch_size = 15 is not a multiple of 2"),
        ({"unlabelled_ratio": 0}, "unlabelled_ratio"),
        ({"unlabelled_ratio": 2**25}, "2\\^31"),
        ({"threshold_momentum": 1.0}, "threshold_momentum"),
        ({"fixed_threshold": 1.5}, "fixed_threshold"),
        ({"fairness_weight": -0.1}, "fairness_weight"),
        ({"label_seed": -1}, "label_seed"),
        ({"depth": 12}, "depth"),
    ],
)
def test_settings_that_cannot_be_run(changes, named):
    with pytest.raises(UserError, match=named) as caught:
        semisupervised.build(_config(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["smoke", "cpu", "paper", "paper-cifar100", "paper-stl10"])
def test_variants(name):
    config = get_config(name)
    semisupervised.check(config)
    grid = get_config(f"{name}-grid")
    sweep.check(grid, semisupervised)
    for values, point in sweep.points(grid):
        semisupervised.check(point)
        assert point.num_labels == values["num_labels"] and point.num_seeds == (
            2 if name == "smoke" else 3
        )
    if name.startswith("paper"):
        expected = {
            "batch_size": 64, "unlabelled_ratio": 7, "num_steps": 2**20, "learning_rate": 0.03,
            "momentum": 0.9, "ema_decay": 0.999, "threshold_momentum": 0.999, "depth": 28,
            "fixed_threshold": 0.95, "fairness_weight": 0.001, "unsupervised_weight": 1.0,
            "weight_decay": 1e-3 if "cifar100" in name else 5e-4, "batchnorm_sync": True,
            "width": 8 if "cifar100" in name else 2, "num_groups": 4 if "stl10" in name else 3,
        }  # fmt: skip
        assert {field: config[field] for field in expected} == expected


def test_stl10s_network_and_warning(program, monkeypatch, capsys):
    """On other images under its name: the warning is printed, unlabelled images are trained on."""
    data, settings = program.network.data, _config(dataset="stl10")
    more = data.test.images[:50]
    monkeypatch.setattr(semisupervised.images, "load_unlabelled", lambda *_: more)
    monkeypatch.setattr(supervised, "load_data", lambda _: data)
    found = semisupervised.build(settings)
    assert "7,500 of its 100,000 unlabelled images are copies" in capsys.readouterr().out
    np.testing.assert_array_equal(found.pool[0][-50:], more)
    np.testing.assert_array_equal(found.pool[1][-50:], -1)
    model = classifier.make_model(get_config("paper-stl10"), 10)
    init = functools.partial(model.init, train=False)
    head = jax.eval_shape(init, jax.random.key(0), jnp.zeros((2, 96, 96, 3)))["params"]["head"]
    assert head["kernel"].shape == (256, 10)
