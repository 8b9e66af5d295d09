"""Fixtures of checkpoints."""

import shutil

import pytest

from tests.training.stores import Store


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "checkpoints")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Intact checkpoints of steps 10 and 20, to copy from."""
    store = Store(tmp_path_factory.mktemp("saved") / "checkpoints")
    store.save(10, 20)
    return store


@pytest.fixture
def copied(saved, store):
    shutil.copytree(saved.directory, store.directory)
    return store
