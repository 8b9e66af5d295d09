"""Records that were cut, and checkpoints that were removed: a run goes on, or says what to do."""

import json
import shutil

import jax
import numpy as np
import optax
import pytest

from infojax import training
from infojax.errors import UserError
from tests import problems

LAST = 20


@pytest.fixture(scope="module")
def fit():
    """Function that trains in a directory to step 20, with checkpoints of steps 16 and 20."""
    optimizer = optax.chain(optax.trace(0.9), optax.scale(-0.05))
    update = training.Update(training.stateless(problems.cross_entropy), optimizer)
    advance = training.make_train_step(update)
    batch = training.shard_padded(problems.examples(7), 2)

    def run(directory):
        plan = training.Plan(
            directory,
            lambda replicated: {"loss": float(training.single(replicated).loss)},
            list(range(LAST + 1)),
            checkpoint_every=4,
            steps_per_call=3,
        )
        state = training.init_state(update, problems.init_params())
        step = lambda state, count: advance(state, batch, count)  # noqa: E731
        return jax.device_get(training.fit(state, step, plan))

    return run


@pytest.fixture(scope="module")
def uninterrupted(fit, tmp_path_factory):
    directory = tmp_path_factory.mktemp("uninterrupted")
    return fit(directory), _timeless(directory), directory


def _saved(directory):
    names = (path.name for path in (directory / "checkpoints").iterdir())
    return sorted(int(name) for name in names if name.isdigit())


def _timeless(directory):
    records = training.read_records(directory)
    return [{k: v for k, v in record.items() if k != "seconds"} for record in records]


@pytest.mark.parametrize("cut", ["at the end of a line", "within a line"])
def test_records_cut_to_an_older_checkpoint(fit, uninterrupted, tmp_path, capsys, cut):
    """The run goes on from the checkpoint of step 16, whose records are left: bit for bit."""
    shutil.copytree(uninterrupted[2], tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    whole = path.read_text().splitlines(keepends=True)
    kept = [line for line in whole if json.loads(line)["step"] <= 16]
    path.write_text("".join(kept) + whole[len(kept)][:20] * (cut == "within a line"))
    state = fit(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, state, uninterrupted[0])
    assert _timeless(tmp_path / "run") == uninterrupted[1]
    aside, resuming = capsys.readouterr().err.splitlines()
    lacking = "metrics.jsonl lacks the record of step 17"
    assert aside == f"checkpoint of step 20 does not fit ({lacking}): set aside"
    assert resuming == "resuming from the checkpoint of step 16"


def test_records_that_no_checkpoint_fits(fit, uninterrupted, tmp_path):
    shutil.copytree(uninterrupted[2], tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    cut = "".join(path.read_text().splitlines(keepends=True)[:5])
    path.write_text(cut)
    with pytest.raises(UserError, match=r"no checkpoint in .* fits the records \(step 20: metrics"):
        fit(tmp_path / "run")
    assert _saved(tmp_path / "run") == [16, 20] and path.read_text() == cut


@pytest.mark.parametrize("lost", ["the directory", "its content"])
def test_checkpoints_removed_beside_records(fit, uninterrupted, tmp_path, lost):
    shutil.copytree(uninterrupted[2], tmp_path / "run")
    path = tmp_path / "run" / "metrics.jsonl"
    lines = path.read_text()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    if lost == "its content":
        (tmp_path / "run" / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"or move metrics\.jsonl away to start over"):
        fit(tmp_path / "run")
    assert path.read_text() == lines
    path.rename(tmp_path / "aside")
    state = fit(tmp_path / "run")
    jax.tree.map(np.testing.assert_array_equal, state, uninterrupted[0])
