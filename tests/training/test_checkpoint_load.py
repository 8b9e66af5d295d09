"""Checkpoints read without a template, as by notebooks, beside a process that trains."""

import shutil

import jax
import numpy as np
import pytest
from flax import serialization

from infojax.errors import UserError
from infojax.training import checkpoint
from infojax.training.checkpoint import Checkpoints
from tests.training.stores import damage, state_of


def _content(directory):
    return {p: p.is_file() and p.read_bytes() for p in directory.rglob("*")}


@pytest.mark.parametrize("step", [None, 10])
def test_every_bit_of_a_state(saved, step, caplog):
    found, arrays = checkpoint.load(str(saved.directory), step)
    assert found == (step or 20)
    expected = serialization.to_state_dict(jax.device_get(state_of(found)))
    assert jax.tree.structure(arrays) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(arrays), jax.tree.leaves(expected), strict=True):
        assert type(x) is np.ndarray
        assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, np.shape(y), np.asarray(y).tobytes())
    assert caplog.records == []


def test_a_missing_average_is_none(store):
    checkpoints = Checkpoints(store.directory)
    checkpoints.save(3, state_of(3).replace(ema=None))
    checkpoints.close()
    assert checkpoint.load(store.directory)[1]["ema"] is None


def test_nothing_is_changed(copied, capsys):
    """Neither a damaged checkpoint, which is reported, nor one that another process is writing."""
    damage(copied, 20)
    unfinished = copied.directory / "30.orbax-checkpoint-tmp"
    shutil.copytree(copied.directory / "10", unfinished)
    shutil.copytree(copied.directory / "10", copied.directory / "40")
    (copied.directory / "40" / "sums.json").unlink()
    before = _content(copied.directory)
    assert checkpoint.load(copied.directory)[0] == 10
    assert _content(copied.directory) == before
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{copied.directory / '20'} is damaged (state/d/")
    assert line.endswith("has changed since it was saved): read that of step 10")


def test_files_of_others_do_not_matter(copied, capsys):
    """File managers and network file systems leave some."""
    (copied.directory / "20" / ".DS_Store").write_bytes(b"x")
    assert checkpoint.load(copied.directory)[0] == 20
    assert capsys.readouterr().err == ""


def test_paths_in_which_checkpoints_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"without \["):
        Checkpoints(tmp_path / "run[2]")


def test_training_replaces_the_checkpoints_meanwhile(copied, monkeypatch, capsys):
    read = checkpoint._read

    def replaced(directory):
        monkeypatch.setattr(checkpoint, "_read", read)
        for step in ("10", "20"):
            shutil.rmtree(copied.directory / step)
        copied.save(30, 40)
        return read(directory)

    monkeypatch.setattr(checkpoint, "_read", replaced)
    assert checkpoint.load(copied.directory)[0] == 40
    assert capsys.readouterr().err == ""


def _refused(directory, step=None):
    with pytest.raises(UserError) as caught:
        checkpoint.load(directory, step)
    assert len(str(caught.value).splitlines()) == 1
    assert "remove" not in str(caught.value)
    return str(caught.value)


def test_no_checkpoint(tmp_path, saved):
    line = f"there is no checkpoint in {tmp_path / 'none'}: nothing has been trained yet"
    assert _refused(tmp_path / "none") == line
    line = f"{saved.directory.parent} is a run; use {saved.directory}"
    assert _refused(saved.directory.parent) == line
    line = f"there is no checkpoint of step 15 in {saved.directory}; use 10, 20"
    assert _refused(saved.directory, 15) == line


def test_all_damaged(copied):
    damage(copied, 10, 20)
    assert "is intact (step 20: state/d/" in _refused(copied.directory)
    assert "step 10" not in _refused(copied.directory, 20)
