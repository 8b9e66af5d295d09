"""The experiment of docs/experiments.md: a module and a config outside the repository, run."""

import json
import os
import subprocess
import sys

import pytest

from infojax.training import read_records
from launch.runs import load_run
from tests.data import snippets
from tests.launch.launcher import ROOT, assert_refused

MODULE, CONFIG = snippets.python(ROOT / "docs" / "experiments.md")


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
