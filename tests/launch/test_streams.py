"""Training on images that are read from a directory, batch by batch."""

import contextlib

import jax
import numpy as np
import pytest

from configs import mode_connectivity, pruning, semisupervised
from infojax.data import images, streaming
from infojax.errors import UserError
from infojax.training import read_records
from launch import classification
from launch.experiments import (
    mode_connectivity as connectivity,
    pruning as pruned,
    semisupervised as few_labels,
    supervised,
)
from tests.data import pictures
from tests.launch.experiments import supervised_problem as problem
from tests.launch.launcher import timeless


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Digits as PNG files: 240 to train, 80 to test."""
    root = tmp_path_factory.mktemp("photos")
    data = images.load("digits")
    for split, n in (("train", 240), ("test", 80)):
        for i, (pixels, label) in enumerate(zip(*getattr(data, split), strict=True)):
            if i < n:
                pictures.save(root / split / str(label) / f"{i}.png", pixels[..., 0])
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path):
    with _cache_in(tmp_path):
        yield


@contextlib.contextmanager
def _cache_in(directory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory))
        yield


def _config(photos, **changes):
    small = {"model": "mlp", "mlp_depth": 1, "mlp_width": 16, "train_size": 0}
    return problem.config(dataset=str(photos), **small, **changes)


def _run(config, directory, program=None):
    """Trains seed 3; returns the records and the final state."""
    program = program or classification.build(config)
    state = supervised.run_seed(program, config, 3, directory)
    return timeless(read_records(directory)), jax.device_get(state)


def _assert_same(found, expected):
    assert found[0] == expected[0] and len(found[0]) == 4
    jax.tree.map(np.testing.assert_array_equal, found[1], expected[1])


@pytest.fixture(scope="module")
def in_memory(photos, tmp_path_factory):
    with _cache_in(tmp_path_factory.mktemp("cache")):
        return _run(_config(photos), tmp_path_factory.mktemp("memory"))


@pytest.fixture(scope="module")
def program(photos, tmp_path_factory):
    with _cache_in(tmp_path_factory.mktemp("cache")):
        return classification.build(_config(photos, stream=True))


def test_records_are_those_of_images_in_memory(photos, in_memory, program, tmp_path):
    """Bit for bit, with both splits measured as a whole; epochs end within batches."""
    config = _config(photos, stream=True)
    assert config.population_splits == ("train", "test")
    _assert_same(_run(config, tmp_path / "run", program), in_memory)


def test_a_run_that_was_cut_off_resumes_bit_for_bit(
    photos, in_memory, program, tmp_path, monkeypatch
):
    """An image that cannot be read at step 9 ends the run; the same command goes on at 8."""
    config, ahead, starts = _config(photos, stream=True), streaming.ahead, []

    def failing(read, start, stop):
        def checked(t):
            if t == 9:
                raise UserError("the disk is gone")
            return read(t)

        return ahead(checked if stop == config.num_steps else read, start, stop)

    def noted(read, start, stop):
        starts.append((start, stop))
        return ahead(read, start, stop)

    monkeypatch.setattr(streaming, "ahead", failing)
    with pytest.raises(UserError, match="the disk is gone"):
        _run(config, tmp_path / "run", program)
    assert read_records(tmp_path / "run")[-1]["step"] == 8
    monkeypatch.setattr(streaming, "ahead", noted)
    _assert_same(_run(config, tmp_path / "run", program), in_memory)
    assert (8, config.num_steps) in starts and (0, config.num_steps) not in starts


def test_accumulated_batches_and_a_validation_split(photos, tmp_path):
    """The parts of a batch, on two devices, take the rows that they take from memory."""
    changes = {"accumulate_steps": 2, "validation_fraction": 0.3, "num_steps": 4}
    changes |= {"population_splits": (), "batch_size": 16}
    streamed, expected = (
        _run(_config(photos, stream=stream, **changes), tmp_path / str(stream))
        for stream in (True, False)
    )
    assert streamed[0] == expected[0] and "validation/mir_32" in streamed[0][-1]
    jax.tree.map(np.testing.assert_array_equal, streamed[1], expected[1])


def test_every_process_reads_the_rows_of_its_own_devices(photos, program, monkeypatch):
    config = _config(photos, stream=True, accumulate_steps=2)
    whole = classification.make_source(program, config, 3)._rows(5)
    assert whole.shape == (2, config.batch_size // 2) and len(set(whole.ravel())) == whole.size
    monkeypatch.setattr(jax, "local_device_count", lambda: 1)
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        batches = classification.make_source(program, config, 3)
        np.testing.assert_array_equal(batches._rows(5), whole[[process]])


@pytest.mark.parametrize(
    ("configs", "experiment"),
    [(mode_connectivity, connectivity), (pruning, pruned), (semisupervised, few_labels)],
)
def test_experiments_that_draw_from_memory_refuse(configs, experiment):
    config = configs.get_config("smoke")
    config.stream = True
    with pytest.raises(UserError, match=rf"{config.experiment} draws .*set stream = False"):
        experiment.check(config)
