import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import pytest

from infojax import training
from infojax.errors import UserError
from infojax.training.checkpoint import Checkpoints
from tests.training.stores import Store, assert_equal_bits, damage, empty, flip, state_of, truncate


def test_nothing_saved(store):
    assert store.restore() is None


def test_round_trip(saved):
    state = saved.restore()
    assert_equal_bits(state, state_of(20))
    assert state.params["bfloat16"].dtype == ml_dtypes.bfloat16
    assert type(state) is training.TrainState


def test_keeps_the_newest_two(store):
    store.save(5, 10, 15)
    assert store.steps() == [10, 15]
    store.save(20)
    assert store.steps() == [15, 20]


def test_latest_step(store):
    checkpoints = Checkpoints(store.directory)
    assert checkpoints.latest_step() is None
    checkpoints.save(3, state_of(3))
    checkpoints.save(7, state_of(7))
    assert checkpoints.latest_step() == 7
    checkpoints.close()


def test_saving_a_step_again_replaces_it(copied):
    checkpoints = Checkpoints(copied.directory)
    checkpoints.save(20, state_of(21))
    checkpoints.close()
    assert copied.steps() == [10, 20]
    assert_equal_bits(copied.restore(), state_of(21))


@pytest.mark.parametrize("damage", [truncate, empty, flip, Path.unlink])
def test_damage_to_any_file_is_detected(saved, tmp_path, damage, capsys):
    """The previous checkpoint is restored and both are reported, without a traceback."""
    for i, path in enumerate(saved.files(20)):
        store = Store(tmp_path / str(i))
        shutil.copytree(saved.directory, store.directory)
        damage(store.directory / path.relative_to(saved.directory))
        state = store.restore()
        assert_equal_bits(state, state_of(int(state.step)))
        assert state.step == 10
        message = capsys.readouterr().err.splitlines()
        assert len(message) == 2
        assert "checkpoint of step 20 is damaged" in message[0]
        assert message[1] == "resuming from the checkpoint of step 10"


def test_every_flipped_bit_is_detected(saved, copied, capsys):
    """Orbax would restore some of them silently."""
    places = [(path, i) for path in saved.files(20) for i in range(0, path.stat().st_size, 1999)]
    assert len(places) > 15
    for path, i in places:
        target = copied.directory / path.relative_to(saved.directory)
        content = bytearray(path.read_bytes())
        content[i] ^= 1
        target.write_bytes(bytes(content))
        assert copied.restore().step == 10, (path, i)
        assert "step 20 is damaged" in capsys.readouterr().err
        shutil.rmtree(copied.directory)
        shutil.copytree(saved.directory, copied.directory)


def test_damaged_checkpoint_is_set_aside_and_training_resumes(copied):
    whole = [p.read_bytes() for p in copied.files(20)]
    damage(copied, 20)
    checkpoints = Checkpoints(copied.directory)
    assert checkpoints.restore(state_of(0)).step == 10
    assert checkpoints.latest_step() == 10
    checkpoints.save(20, state_of(20))
    checkpoints.save(30, state_of(30))
    checkpoints.close()
    assert copied.steps() == [20, 30]
    aside = [p for p in (copied.directory / "damaged-20").rglob("*") if p.is_file()]
    assert len([p for p in aside if p.stat().st_size]) == len(whole)
    assert_equal_bits(copied.restore(), state_of(30))


def test_same_step_damaged_twice(copied, capsys):
    for _ in range(3):
        damage(copied, 20)
        assert copied.restore().step == 10
        assert "checkpoint of step 20 is damaged" in capsys.readouterr().err
        copied.save(20)
    aside = [p for p in copied.directory.iterdir() if p.name.startswith("damaged-20")]
    assert len(aside) == 3


def test_several_newest_damaged(store, capsys):
    store.save(10, 20, 30, keep=3)
    damage(store, 20, 30)
    assert_equal_bits(store.restore(), state_of(10))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "step 30" in lines[0]
    assert "step 20" in lines[1]
    assert "step 10" in lines[2]


def test_all_damaged(copied):
    damage(copied, 10, 20)
    before = sorted(p.relative_to(copied.directory) for p in copied.directory.rglob("*"))
    with pytest.raises(UserError, match="no checkpoint in ") as caught:
        copied.restore()
    assert len(str(caught.value).splitlines()) == 1
    assert "is intact (step 20: " in str(caught.value)
    assert "step 10: " in str(caught.value)
    assert "remove" not in str(caught.value)
    assert str(copied.directory) in str(caught.value)
    assert sorted(p.relative_to(copied.directory) for p in copied.directory.rglob("*")) == before


def test_missing_arrays(copied, capsys):
    shutil.rmtree(copied.directory / "20" / "state")
    assert_equal_bits(copied.restore(), state_of(10))
    assert "checkpoint of step 20 is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("steps", [(20,), (10, 20)])
def test_killed_before_the_sums_were_written(copied, steps, capsys):
    """The checkpoint is ignored; without an earlier one, training starts over."""
    for step in steps:
        (copied.directory / str(step) / "sums.json").unlink()
    state = copied.restore()
    assert "step 20 is damaged (saving it did not finish)" in capsys.readouterr().err
    if len(steps) == 2:
        assert state is None
    else:
        assert_equal_bits(state, state_of(10))
    copied.save(20)
    assert_equal_bits(copied.restore(), state_of(20))


def test_latest_step_before_restoring(copied):
    (copied.directory / "20" / "sums.json").unlink()
    checkpoints = Checkpoints(copied.directory)
    assert checkpoints.latest_step() == 10
    checkpoints.close()


def _wider(state):
    state.params["float32"] = jnp.zeros((300, 8))
    return state


def _renamed(state):
    state.params["other"] = state.params.pop("bfloat16")
    return state


def _without_average(state):
    return state.replace(ema=None)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (_wider, r"ema/float32 is float32 \(300, 7\), not float32 \(300, 8\)"),
        (_renamed, r"ema/bfloat16 is unknown"),
        (_without_average, r"ema/bfloat16 is unknown"),
    ],
)
def test_another_network_is_not_restored(copied, change, difference, capsys):
    """Intact checkpoints of another network are neither restored nor set aside."""
    before = sorted(copied.directory.rglob("*"))
    checkpoints = Checkpoints(copied.directory)
    with pytest.raises(UserError, match=f"20 holds another network: {difference}; use another"):
        checkpoints.restore(change(state_of(0)))
    checkpoints.close()
    assert sorted(copied.directory.rglob("*")) == before
    assert capsys.readouterr().err == ""


KILLED = """
os.rename = os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
Path.rename = Path.replace = os.rename
"""
FULL_DISK = """
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
"""


def _save_in_another_process(store, accident):
    lines = f"""
import os, resource, signal, sys
from pathlib import Path
from tests.training.stores import Checkpoints, state_of
checkpoints = Checkpoints(Path(sys.argv[1]))
{accident}
checkpoints.save(30, state_of(30))
"""
    command = [sys.executable, "-c", lines, str(store.directory)]
    return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)


def test_killed_while_saving(copied, caplog):
    """The incomplete checkpoint is ignored, and does not prevent saving it again."""
    done = _save_in_another_process(copied, KILLED)
    assert done.returncode == -9, done.stderr
    left = [p.name for p in copied.directory.iterdir() if not p.name.isdigit()]
    assert any("30" in name for name in left), left
    assert_equal_bits(copied.restore(), state_of(20))
    copied.save(30)
    assert_equal_bits(copied.restore(), state_of(30))
    assert sorted(p.name for p in copied.directory.iterdir()) == ["20", "30"]
    assert caplog.records == []  # orbax's log would mix with the user's output


def test_full_disk(copied):
    """Tensorstore reports it as a ValueError."""
    done = _save_in_another_process(copied, FULL_DISK)
    message = f"StorageError: cannot write {copied.directory / '30'}: File too large"
    assert message in done.stderr
    assert_equal_bits(copied.restore(), state_of(20))
