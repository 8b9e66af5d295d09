"""Fixtures of experiments that are resumed."""

import shutil

import pytest

from infojax import training
from launch.ledger import FILE


@pytest.fixture
def no_training(monkeypatch):
    """Every update of a network fails."""

    def refuse(*_):
        raise AssertionError("this trains")

    monkeypatch.setattr(training, "make_train_step", lambda *_, **__: refuse)


@pytest.fixture
def killed(tmp_path):
    """Copies a study as if it had been killed while it wrote the point after `whole` others."""

    def copy(finished, whole):
        shutil.copytree(finished, tmp_path / "killed")
        lines = (finished / FILE).read_text().splitlines(keepends=True)
        text = "".join(lines[:whole]) + lines[whole][:50]
        (tmp_path / "killed" / FILE).write_text(text)
        return tmp_path / "killed"

    return copy
