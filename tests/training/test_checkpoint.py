import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from infojax import training
from infojax.errors import UserError
from infojax.training.checkpoint import Checkpoints

UPDATE = training.Update(
    training.stateless(lambda params, batch: jnp.float32(0)),
    optax.adamw(optax.linear_schedule(0.0, 1e-3, 10), weight_decay=0.1),
    ema_decay=0.9,
)


def _state(value):
    """A state of several dtypes in which every number depends on the value."""
    rng = np.random.default_rng(value)
    params = {
        "float32": jnp.asarray(rng.normal(size=(300, 7)), jnp.float32),
        "bfloat16": jnp.asarray(rng.normal(size=5), jnp.bfloat16),
        "nested": {"scalar": jnp.float32(rng.normal()), "half": jnp.asarray([0.1], jnp.float16)},
    }
    state = training.init_state(UPDATE, params, {"mean": jnp.zeros(3)})
    draw = lambda x: np.asarray(rng.integers(1, 99, np.shape(x))).astype(x.dtype)  # noqa: E731
    state = state.replace(opt_state=jax.tree.map(draw, state.opt_state), step=jnp.int32(value))
    return state.replace(spike=jnp.float32(np.nextafter(np.float32(1), 2)))


def _assert_equal_bits(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        x, y = np.asarray(x), np.asarray(y)
        assert (x.dtype, x.shape) == (y.dtype, y.shape)
        assert x.tobytes() == y.tobytes()


class Store:
    """A directory of checkpoints, reopened for every operation, as by every run."""

    def __init__(self, directory):
        self.directory = directory

    def save(self, *steps, keep=2):
        checkpoints = Checkpoints(self.directory, keep)
        for step in steps:
            checkpoints.save(step, _state(step))
        checkpoints.close()

    def restore(self):
        checkpoints = Checkpoints(self.directory)
        try:
            return checkpoints.restore(_state(0))
        finally:
            checkpoints.close()

    def steps(self):
        return sorted(int(p.name) for p in self.directory.iterdir() if p.name.isdigit())

    def files(self, step):
        """The files of a step that are not empty."""
        files = (self.directory / str(step)).rglob("*")
        return sorted(p for p in files if p.is_file() and p.stat().st_size)


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


def test_nothing_saved(store):
    assert store.restore() is None


def test_round_trip(saved):
    state = saved.restore()
    _assert_equal_bits(state, _state(20))
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
    checkpoints.save(3, _state(3))
    checkpoints.save(7, _state(7))
    assert checkpoints.latest_step() == 7
    checkpoints.close()


def test_saving_a_step_again_replaces_it(copied):
    checkpoints = Checkpoints(copied.directory)
    checkpoints.save(20, _state(21))
    checkpoints.close()
    assert copied.steps() == [10, 20]
    _assert_equal_bits(copied.restore(), _state(21))


def _truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _empty(path):
    path.write_bytes(b"")


def _flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [_truncate, _empty, _flip, Path.unlink])
def test_damage_to_any_file_is_detected(saved, tmp_path, damage, capsys):
    """The previous checkpoint is restored and both are reported, without a traceback."""
    for i, path in enumerate(saved.files(20)):
        store = Store(tmp_path / str(i))
        shutil.copytree(saved.directory, store.directory)
        damage(store.directory / path.relative_to(saved.directory))
        state = store.restore()
        _assert_equal_bits(state, _state(int(state.step)))
        assert state.step == 10
        message = capsys.readouterr().err.splitlines()
        assert len(message) == 2
        assert "checkpoint of step 20 is damaged" in message[0]
        assert message[1] == "resuming from the checkpoint of step 10"


def _damage(store, *steps):
    for step in steps:
        for path in store.files(step):
            if "d" in (path.parent.name, path.parents[1].name):
                _truncate(path)


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
    _damage(copied, 20)
    checkpoints = Checkpoints(copied.directory)
    assert checkpoints.restore(_state(0)).step == 10
    assert checkpoints.latest_step() == 10
    checkpoints.save(20, _state(20))
    checkpoints.save(30, _state(30))
    checkpoints.close()
    assert copied.steps() == [20, 30]
    aside = [p for p in (copied.directory / "damaged-20").rglob("*") if p.is_file()]
    assert len([p for p in aside if p.stat().st_size]) == len(whole)
    _assert_equal_bits(copied.restore(), _state(30))


def test_same_step_damaged_twice(copied, capsys):
    for _ in range(3):
        _damage(copied, 20)
        assert copied.restore().step == 10
        assert "checkpoint of step 20 is damaged" in capsys.readouterr().err
        copied.save(20)
    aside = [p for p in copied.directory.iterdir() if p.name.startswith("damaged-20")]
    assert len(aside) == 3


def test_several_newest_damaged(store, capsys):
    store.save(10, 20, 30, keep=3)
    _damage(store, 20, 30)
    _assert_equal_bits(store.restore(), _state(10))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert "step 30" in lines[0]
    assert "step 20" in lines[1]
    assert "step 10" in lines[2]


def test_all_damaged(copied):
    _damage(copied, 10, 20)
    before = sorted(p.relative_to(copied.directory) for p in copied.directory.rglob("*"))
    with pytest.raises(UserError, match="no checkpoint in ") as caught:
        copied.restore()
    assert len(str(caught.value).splitlines()) == 1
    assert "can be read (step 20: " in str(caught.value)
    assert "step 10: " in str(caught.value)
    assert str(copied.directory) in str(caught.value)
    assert sorted(p.relative_to(copied.directory) for p in copied.directory.rglob("*")) == before


def test_missing_arrays(copied, capsys):
    shutil.rmtree(copied.directory / "20" / "state")
    _assert_equal_bits(copied.restore(), _state(10))
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
        _assert_equal_bits(state, _state(10))
    copied.save(20)
    _assert_equal_bits(copied.restore(), _state(20))


def test_other_shapes_are_not_restored(copied):
    """Such as those of another model."""
    template = _state(0)
    template.params["float32"] = jnp.zeros((300, 8))
    checkpoints = Checkpoints(copied.directory)
    with pytest.raises(UserError, match=r"ema/float32 is float32 \(300, 7\), not .*8\)"):
        checkpoints.restore(template)
    checkpoints.close()


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
import tests.training.test_checkpoint as module
checkpoints = module.Checkpoints(Path(sys.argv[1]))
{accident}
checkpoints.save(30, module._state(30))
"""
    command = [sys.executable, "-c", lines, str(store.directory)]
    return subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)


def test_killed_while_saving(copied, caplog):
    """The incomplete checkpoint is ignored, and does not prevent saving it again."""
    done = _save_in_another_process(copied, KILLED)
    assert done.returncode == -9, done.stderr
    left = [p.name for p in copied.directory.iterdir() if not p.name.isdigit()]
    assert any("30" in name for name in left), left
    _assert_equal_bits(copied.restore(), _state(20))
    copied.save(30)
    _assert_equal_bits(copied.restore(), _state(30))
    assert sorted(p.name for p in copied.directory.iterdir()) == ["20", "30"]
    assert caplog.records == []  # orbax's log would mix with the user's output


def test_full_disk(copied):
    """Tensorstore reports it as a ValueError."""
    done = _save_in_another_process(copied, FULL_DISK)
    message = f"StorageError: cannot write {copied.directory / '30'}: File too large"
    assert message in done.stderr
    _assert_equal_bits(copied.restore(), _state(20))
