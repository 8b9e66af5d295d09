"""Part 6 stops in time, goes on bit for bit, and trains as `launch` does."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from benchmarks.accelerator import grokking, network, parts, results, training
from benchmarks.accelerator.context import Clock, Context, OutOfTime
from benchmarks.accelerator.recipes import PAPER, SMALL, enlarged
from configs import grokking as grokking_config, supervised
from infojax import training as library
from infojax.data import images
from infojax.errors import UserError
from launch import classification
from launch.experiments import grokking as experiment


@pytest.fixture(autouse=True)
def _promotion():
    """As users run: flax and optax mix dtypes."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def context(directory, seconds):
    return Context(directory, True, Clock(seconds), directory / "parts", "large")


def test_a_run_that_is_out_of_time_goes_on_bit_for_bit(tmp_path):
    data = images.load(images.DIGITS)
    run = lambda place, seconds: training._run(  # noqa: E731
        "run", SMALL, lambda: data, context(tmp_path / place, seconds)
    )
    with pytest.raises(OutOfTime) as stopped:
        run("stopped", 0)
    assert stopped.value.fields["step"] == SMALL.eval_every
    assert run("stopped", 100)["step"] == SMALL.num_steps
    run("whole", 100)
    one, other = (
        library.read_records(tmp_path / place / "runs" / "large-run")
        for place in ("stopped", "whole")
    )
    timeless = [[{**r, "seconds": 0} for r in records] for records in (one, other)]
    assert timeless[0] == timeless[1]


def test_a_run_of_another_recipe_is_not_continued(tmp_path):
    training._check(tmp_path / "run", SMALL)
    training._check(tmp_path / "run", SMALL)
    with pytest.raises(UserError, match="another recipe"):
        training._check(tmp_path / "run", SMALL._replace(momentum=0.5))


def test_without_data_training_is_not_complete_although_it_had_them(tmp_path):
    own = context(tmp_path, 100)._replace(small=False)
    done = {"part": "training", "name": "data", "status": results.OK}
    results.append(tmp_path, done)
    assert not parts.measure("training", own, {})
    assert results.measured(tmp_path, "training")["data"]["status"] == results.FAILED


def test_the_update_is_that_of_launch():
    recipe = SMALL._replace(mi_weight=0.1, id_weight=0.2, label_smoothing=0.1)
    data = images.load(images.DIGITS)
    program = network.build(recipe, data)
    state = library.replicate(network.init_state(program, data, 0))
    advance = network.make_advance(program, 2, 1)
    ours = library.single(advance(state, network.make_source(data, 0))[0])

    config = supervised.base("digits")
    config.update(supervised.SMOKE | {"train_size": 0, "population_splits": ()})
    config.update({name: getattr(recipe, name) for name in _SHARED})
    theirs_program = classification.build(config)
    theirs = library.replicate(classification.init_state(theirs_program, config, 0))
    source = classification.make_source(theirs_program, config, 0)
    theirs = library.single(theirs_program.advance(theirs, source, 2))
    for x, y in zip(*(jax.tree.leaves(s.params) for s in (ours, theirs)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)


_SHARED = (
    *("batch_size", "num_steps", "learning_rate", "batchnorm_decay", "ema_decay", "flip"),
    *("momentum", "weight_decay", "label_smoothing", "mi_weight", "id_weight", "crop_padding"),
    "depth",
)


def test_grokking_is_that_of_launch():
    config = grokking_config.get_config("cpu")
    shared = grokking.Settings._fields
    own = {name: config[name] for name in shared if name in config}
    assert {name: grokking.Settings()._asdict()[name] for name in own} == own | {
        "eval_every": grokking.Settings().eval_every
    }
    small = grokking.Settings(*(13, 16, 2, 32, 6))
    ours = grokking.build(small)
    data = grokking.data_of(small, 5)
    config.update({"modulus": 13, "d_model": 16, "num_heads": 2, "d_mlp": 32})
    theirs = experiment.build(ConfigDict(config))
    batch = library.shard_padded(data.fitted, jax.local_device_count())
    states = []
    for program in (ours, theirs):
        state = library.replicate(library.init_state(program.update, _params(ours, data)))
        advance = library.make_train_step(program.update)
        states.append(library.single(advance(state, batch, 3)))
    for x, y in zip(*(jax.tree.leaves(s.params) for s in states), strict=True):
        np.testing.assert_array_equal(x, y)


def _params(program, data):
    return grokking.init_state(program, 5, data).params


def test_enlarged_batches_scale_the_rate_and_average_the_same_images():
    large = enlarged(PAPER, 8, 200)
    assert (large.batch_size, large.learning_rate) == (512, pytest.approx(0.24))
    assert large.batch_size * np.log(large.ema_decay) == pytest.approx(
        8 * 64 * 8 * np.log(PAPER.ema_decay)
    )
    assert 190 < large.num_steps * 512 / 50_000 < 210
    assert large.num_steps % large.eval_every == 0 == large.eval_every % large.metrics_every
