"""An experiment of one's own: a module and a config outside the repository, run end to end."""

import json
import os
import subprocess
import sys

import pytest

from infojax.training import read_records
from launch.runs import load_run
from tests.launch.launcher import ROOT, assert_refused

MODULE = '''
"""An MLP on digits, full batch, with MIR and HDR of test features."""

import functools

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

import infojax
from infojax import losses, training
from infojax.data import images
from launch import seeds
from launch.plots import panels
from launch.results.observations import Observation, summarize


class MLP(nn.Module):
    @nn.compact
    def __call__(self, x):
        z = nn.relu(nn.Dense(32, name="hidden")(x.reshape(len(x), -1) / 255))
        return z, nn.Dense(10, name="head")(z)


def run(config, workdir):
    data, model = images.load("digits"), MLP()
    train, test = ((jnp.asarray(s.images, jnp.float32), s.labels) for s in data[:2])

    def loss(params, batch):
        (x, y), weights = batch
        return jnp.sum(weights * losses.cross_entropy(model.apply(params, x)[1], y))

    update = training.Update(training.stateless(loss), optax.adam(config.learning_rate))
    advance = training.make_train_step(update)
    batch = training.shard_padded(train, jax.local_device_count())

    def evaluate(replicated):
        params = training.single(replicated).params
        z, logits = model.apply(params, test[0])
        head = params["params"]["head"]["kernel"].T
        found = infojax.sample_interplay(z, test[1], head)
        accuracy = jnp.mean((jnp.argmax(logits, -1) == test[1]).astype(jnp.float32))
        return {"accuracy": float(accuracy), "mir": float(found.mir), "hdr": float(found.hdr)}

    def run_seed(seed, directory):
        state = training.init_state(update, model.init(jax.random.key(seed), train[0][:1]))
        plan = training.Plan(directory, evaluate, range(0, config.num_steps + 1, 20), 20, 20)
        return training.fit(state, lambda state, n: advance(state, batch, n), plan)

    observe = lambda history: {"mir": Observation("MIR at the end", history[-1]["mir"])}
    seeds.run(config, workdir, run_seed, functools.partial(summarize, observe=observe), figures)


def figures(runs):
    figure, axes = panels.grid((1, 3), (9, 3))
    for axis, name in zip(axes.flat, ("accuracy", "mir", "hdr")):
        panels.panel(axis, runs, {"": name}, name)
    return {"mlp": figure}
'''

CONFIG = """
from ml_collections import ConfigDict


def get_config(variant="cpu"):
    return ConfigDict(
        dict(experiment="mine.mlp", seed=0, num_seeds=2, num_steps=60, learning_rate=0.01)
    )
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("mine", "mine.mlp"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "mlp.py").write_text(MODULE)
    (tmp_path / "config.py").write_text(CONFIG)
    assert len(MODULE.strip().splitlines()) + len(CONFIG.strip().splitlines()) <= 75
    return tmp_path


def test_runs_and_is_drawn(written):
    command = [sys.executable, "-m", "launch", "--config=config.py", "--workdir=run"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(written)])}
    done = subprocess.run(command, cwd=written, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    run = load_run(written / "run")
    assert [len(history) for history in run.histories] == [4, 4]
    first, *_, last = run.histories[0]
    assert first["accuracy"] < 0.3 and last["accuracy"] > 0.8
    assert 0 < last["mir"] < 1 and last["mir"] != first["mir"]
    summary = json.loads((written / "run" / "summary.json").read_text())
    measured = [history[-1]["mir"] for history in run.histories]
    assert summary["observations"]["mir"] == {
        "text": "MIR at the end",
        "measured": measured,
        "holds": [None, None],
    }
    assert (written / "run" / "figures" / "mlp.png").stat().st_size > 10_000


def test_what_is_missing_is_said_before_training(written, main):
    path = written / "mine" / "mlp.py"
    path.write_text(path.read_text().replace("def figures", "def drawn"))
    message = "experiment = 'mine.mlp' cannot be run: mine.mlp has no figures"
    assert_refused(main(f"--config={written / 'config.py'}"), message)
    assert not (written / "run").exists()


def test_a_field_that_the_config_lacks(written, main):
    path = written / "config.py"
    path.write_text(path.read_text().replace(", learning_rate=0.01", ""))
    refused = main(f"--config={path}", checked_stdout=False)
    assert_refused(refused, "the config has no field 'learning_rate', which mine.mlp needs")
    assert read_records(written / "run") == []


def test_a_defect_in_it_keeps_its_traceback(written, main):
    """A missing file is a bug of the experiment, not a full disk."""
    path = written / "mine" / "mlp.py"
    path.write_text(path.read_text().replace("data, model =", "open('nowhere')\n    data, model ="))
    with pytest.raises(FileNotFoundError):
        main(f"--config={written / 'config.py'}")
