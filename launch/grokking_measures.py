"""What is recorded while a network learns modular arithmetic: pure functions of its outputs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

import infojax
from infojax import collapse, losses, population, training
from infojax.data.modular import Examples
from infojax.errors import UserError
from infojax.methods import fourier
from infojax.training import evaluation

if TYPE_CHECKING:  # the measures themselves do without
    from ml_collections import ConfigDict

Metrics = dict[str, jax.Array]
# Features and logits of a network, from its parameters and operands [n, 2].
Outputs = Callable[[training.Params, ArrayLike], tuple[jax.Array, jax.Array]]

_POPULATION_RTOL = 1e-3  # relative standard error of MIR, where it is estimated


class Settings(NamedTuple):
    """What to measure; see the config for the fields of the same names.

    Attributes:
      batch_sizes: of the test batches for MIR and HDR at the sample level.
      population_splits: "train", "test", "all": splits with MIR and HDR of all examples.
      chance_permutations: of the labels of a test batch, for its chance level; 0: none, not even
        for the population.
      waves: whether to record the Fourier measures, which are defined for a+b and a-b.
    """

    batch_sizes: tuple[int, ...]
    population_splits: tuple[str, ...]
    chance_permutations: int = 0
    waves: bool = False


class _Split(NamedTuple):
    """Outputs of a network on the n examples of a split, and their results."""

    features: jax.Array
    logits: jax.Array
    results: jax.Array


def settings(config: "ConfigDict") -> Settings:
    """Returns what a config asks to measure."""
    return Settings(
        config.metric_batch_sizes,
        config.population_splits,
        config.chance_permutations,
        config.progress_measures and config.operation in ("a+b", "a-b"),
    )


def check(config: "ConfigDict") -> None:
    """Raises UserError for measures that cannot be taken."""
    if not set(config.population_splits) <= {"train", "test", "all"}:
        raise UserError(
            f"population_splits = {config.population_splits} may hold 'all', 'train' and 'test' "
            "only"
        )
    batches = config.metric_batch_sizes
    if not batches or not all(isinstance(n, int) and n >= 2 for n in batches):
        raise UserError("metric_batch_sizes must hold sizes of at least 2, for example (64, 256)")
    if config.chance_permutations < 0 or config.chance_permutations == 1:
        raise UserError(
            "chance_permutations must be at least 2, or 0 for no chance level; got "
            f"{config.chance_permutations}"
        )


def measure(
    outputs: Outputs, settings: Settings, params: training.Params, fitted: Examples, test: Examples
) -> Metrics:
    """Returns every recorded metric, for given parameters.

    Sample-level MIR, HDR, entropies and the chance level use the first n test examples, n in
    batch_sizes; class-level values, NC1 to NC4, effective rank and population values use all
    examples of the split; the Fourier measures use all pairs.
    """
    head = params["unembed"][:-1]  # "=" is never a result
    train, test_split = (
        _Split(*outputs(params, examples.operands), jnp.asarray(examples.results))
        for examples in (fitted, test)
    )
    both = _Split(*map(jnp.concatenate, zip(train, test_split, strict=True)))
    splits = {"train": train, "test": test_split, "all": both}
    metrics: Metrics = {}
    for split, of in splits.items():
        whole = split in settings.population_splits
        if whole or split != "all":
            metrics |= _named(split, _of_split(of, head, whole, settings.chance_permutations))
    for n in settings.batch_sizes:
        batch = _Split(*(x[:n] for x in test_split))
        metrics |= _named("test", _of_batch(batch, head, settings.chance_permutations))
    if settings.waves:
        metrics |= _of_waves(params, train, test_split)
    squares = [jnp.sum(weight**2) for weight in jax.tree.leaves(params)]
    metrics["weights/squared_norm"] = sum(squares, jnp.float32(0))
    return metrics


def _named(split: str, found: Metrics) -> Metrics:
    return {f"{split}/{name}": value for name, value in found.items()}


def _of_split(split: _Split, head: jax.Array, whole: bool, permutations: int) -> Metrics:
    """Metrics of all examples of a split; with `whole` also MIR and HDR at the sample level."""
    hits = jnp.argmax(split.logits, -1) == split.results
    c, d = head.shape
    statistics = population.Statistics.zeros(c, d).update(split.features, split.results)
    by_class = population.class_interplay(statistics, head)
    found = {
        "accuracy": jnp.mean(hits.astype(jnp.float32)),
        "loss": jnp.mean(losses.cross_entropy(split.logits, split.results)),
        "class_mir": by_class.mir,
        "class_hdr": by_class.hdr,
        "effective_rank": population.effective_rank(statistics),
        **collapse.neural_collapse(statistics, head)._asdict(),
    }
    if whole:
        interplay = population.interplay(statistics, head, rtol=_POPULATION_RTOL)
        found |= {
            "population_mir": interplay.mir,
            "population_hdr": interplay.hdr,
            "population_mir_error": interplay.standard_error.mir,
        }
        if permutations:
            found |= evaluation.population_chance(statistics, head, interplay.mir)
    return found


def _of_batch(batch: _Split, head: jax.Array, permutations: int) -> Metrics:
    """MIR, HDR and entropies of a batch at the sample level, and the chance level of MIR.

    The permutations are the same at every evaluation. HDR has no chance level: it does not depend
    on which example has which label.
    """
    n = batch.features.shape[0]
    sample = infojax.sample_interplay(batch.features, batch.results, head)
    found = {
        f"mir_{n}": sample.mir,
        f"hdr_{n}": sample.hdr,
        f"entropy_features_{n}": sample.entropy_z,
        f"entropy_head_{n}": sample.entropy_v,
    }
    if permutations:
        key = jax.random.key(0)
        level = infojax.chance(
            batch.features, batch.results, head, key, num_permutations=permutations
        )
        found |= {
            f"chance_mir_{n}": level.expected_mir,
            f"corrected_mir_{n}": level.corrected_mir,
        }
    return found


def _of_waves(params: training.Params, train: _Split, test: _Split) -> Metrics:
    """Progress measures of Nanda et al. 2023, of parameters and outputs on both splits."""
    logits = jnp.concatenate([train.logits, test.logits])[:, :-1]  # "=" is never a result
    found = fourier.waves(logits, jnp.concatenate([train.results, test.results]))
    key = fourier.key_frequencies(found)
    restricted = fourier.restricted_logits(found, key, test.results)
    excluded = fourier.excluded_logits(train.logits[:, :-1], found, key, train.results)
    return {
        "fourier/gini_embedding": fourier.gini(fourier.embedding_norms(params)),
        "fourier/gini_logit_map": fourier.gini(fourier.logit_map_norms(params)),
        "fourier/num_key_frequencies": jnp.sum(key).astype(jnp.float32),
        "test/restricted_loss": jnp.mean(losses.cross_entropy(restricted, test.results)),
        "train/excluded_loss": jnp.mean(losses.cross_entropy(excluded, train.results)),
    }
