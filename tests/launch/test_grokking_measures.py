"""What is recorded of a network that learns modular arithmetic, on a small network."""

import functools

import jax
import numpy as np
import pytest

import infojax
from configs import grokking as configs
from infojax.data import modular
from infojax.errors import UserError
from infojax.methods import fourier
from infojax.models.transformer import PairTransformer
from launch import grokking_measures
from launch.grokking_measures import Settings
from tests import reference

P = 7
MODEL = PairTransformer(num_tokens=P + 1, d_model=8, num_heads=2, d_mlp=12)
SETTINGS = Settings((8,), ("all",), chance_permutations=3, waves=True)
# Names are settled: results, figures and notebooks read them.
ADDED = {
    *("fourier/gini_embedding", "fourier/gini_logit_map", "fourier/num_key_frequencies"),
    *("test/restricted_loss", "train/excluded_loss", "test/chance_mir_8", "test/corrected_mir_8"),
    *("test/effective_rank", "test/nc1", "test/nc1_quotient", "test/nc2_norms_means"),
    *("test/nc2_norms_head", "test/nc2_angles_means", "test/nc2_angles_head", "test/nc3"),
    *("test/nc4", "train/nc4", "all/population_mir", "all/population_hdr", "all/class_mir"),
}


def outputs(params, operands):
    return MODEL.apply({"params": params}, operands)


@functools.cache
def problem():
    """Parameters of two seeds, and examples."""
    fitted, test = modular.split_examples(P, "a+b", 0.5, 0)
    keys = jax.random.split(jax.random.key(0), 2)
    params = jax.vmap(lambda key: MODEL.init(key, fitted.operands[:1])["params"])(keys)
    return params, fitted, test


@functools.cache
def measured():
    """Metrics of both seeds, computed together, as an ensemble may be."""
    params, *examples = problem()
    measure = functools.partial(grokking_measures.measure, outputs, SETTINGS)
    return jax.jit(jax.vmap(measure, (0, None, None)))(params, *examples)


def test_names():
    assert set(measured()) >= ADDED
    assert not {name for name in measured() if "population" in name and "all" not in name}
    assert all(np.all(np.isfinite(value)) for value in measured().values())


def test_values_of_a_seed_in_an_ensemble():
    params, fitted, test = problem()
    params = jax.tree.map(lambda x: x[1], params)
    found = {name: float(value[1]) for name, value in measured().items()}
    head = params["unembed"][:-1]
    features, logits = outputs(params, test.operands)
    batch = features[:8], test.results[:8], head
    chance = jax.jit(functools.partial(infojax.chance, num_permutations=3))
    level = chance(*batch, jax.random.key(0))
    np.testing.assert_allclose(found["test/chance_mir_8"], level.expected_mir, rtol=1e-4)
    np.testing.assert_allclose(found["test/corrected_mir_8"], level.corrected_mir, atol=1e-4)
    np.testing.assert_allclose(found["test/mir_8"], level.mir, rtol=1e-4)
    entropy = reference.entropy(reference.gram(features))
    np.testing.assert_allclose(found["test/effective_rank"], np.exp(entropy), rtol=1e-4)
    accuracy = np.mean(np.argmax(logits, 1) == test.results)
    np.testing.assert_allclose(found["test/accuracy"], accuracy, rtol=1e-6)
    both = [np.concatenate(x) for x in zip(fitted, test, strict=True)]
    everything = reference.sample_interplay(outputs(params, both[0])[0], both[1], head)
    np.testing.assert_allclose(found["all/population_mir"], everything[4], rtol=1e-4)
    np.testing.assert_allclose(found["all/population_hdr"], everything[5], atol=1e-4)
    names = (f"all/population_{prefix}mir" for prefix in ("", "chance_", "corrected_"))
    mir, level, corrected = (found[name] for name in names)
    np.testing.assert_allclose(corrected, (mir - level) / (1 - level), atol=1e-5)


def test_fourier_measures_use_all_pairs_and_their_own_split():
    params, fitted, test = problem()
    params = jax.tree.map(lambda x: x[1], params)
    both = [np.concatenate(x) for x in zip(fitted, test, strict=True)]
    logits = np.asarray(outputs(params, both[0])[1][:, :-1])
    found = fourier.waves(logits, both[1])
    key = fourier.key_frequencies(found)
    n = len(fitted.results)
    restricted = fourier.restricted_logits(found, key, test.results)
    excluded = fourier.excluded_logits(logits[:n], found, key, fitted.results)
    expected = {
        "fourier/num_key_frequencies": np.sum(key),
        "test/restricted_loss": reference.cross_entropy(restricted, test.results).mean(),
        "train/excluded_loss": reference.cross_entropy(excluded, fitted.results).mean(),
        "fourier/gini_embedding": fourier.gini(fourier.embedding_norms(params)),
        "fourier/gini_logit_map": fourier.gini(fourier.logit_map_norms(params)),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(measured()[name][1], value, rtol=1e-4)


@pytest.mark.parametrize(
    ("operation", "recorded"), [("a+b", True), ("a-b", True), ("a*b", False), ("random", False)]
)
def test_fourier_measures_are_of_sums_and_differences(operation, recorded):
    config = configs.get_config("smoke")
    config.operation = operation
    assert grokking_measures.settings(config).waves == recorded
    config.progress_measures = False
    assert not grokking_measures.settings(config).waves


@pytest.mark.parametrize("number", [-1, 1])
def test_refused_chance_permutations(number):
    config = configs.get_config("smoke")
    config.chance_permutations = number
    with pytest.raises(UserError, match="chance_permutations must be at least 2, or 0"):
        grokking_measures.check(config)
