"""Config files: names, nearest names, loading, docstrings and comments."""

import pytest

from infojax.errors import UserError
from launch import config_files
from tests.launch.launcher import ROOT

OWN = '''
"""An experiment of mine.

Variants:
  cpu: an hour; a large
    network. It learns.
  tiny-1: seconds.

More.
"""

from ml_collections import ConfigDict
import shared


def get_config(variant):
    config = ConfigDict(dict(experiment="mine", seed=0))
    config.first, config.second = 1, 2  # both
    config.rows = (  # of the table
        (1, 2),  # not this
    )
    config.quiet = 0
    config.seed = 1  # own
    return config
'''
SHARED = """
def add(config):
    config.seed = 0  # shared
    config.quiet = 1  # from the file beside
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "shared.py").write_text(SHARED)
    return tmp_path / "own.py"


@pytest.mark.parametrize("name", ["cifar10", "configs/cifar10", "configs/cifar10.py", "cifar10.py"])
def test_short_forms(monkeypatch, name):
    monkeypatch.chdir(ROOT)
    assert str(config_files.find(name)) == "configs/cifar10.py"


def test_files_elsewhere(own):
    assert config_files.find("own") == config_files.find("own.py")
    assert config_files.find("cifar10") == ROOT / "configs" / "cifar10.py"
    own.with_name("cifar10.py").write_text(OWN)
    with pytest.raises(UserError, match=r"can mean cifar10\.py or .*configs/cifar10\.py"):
        config_files.find("cifar10")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifar11", "no config cifar11; did you mean cifar10 or cifar100?"),
        ("configs/cifar11.py", "no config configs/cifar11.py; did you mean cifar10 or cifar100?"),
        ("groking.py", "no config groking.py; did you mean grokking?"),
        ("configs/missing.py", "no config configs/missing.py; python -m launch --list shows them"),
        ("configs", "no config configs; python -m launch --list"),
        ("", "--config is empty"),
    ],
)
def test_mistyped_names(monkeypatch, name, message):
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError) as caught:
        config_files.find(name)
    assert message in str(caught.value)


def test_directory_of_a_run(own, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(UserError, match=r"use --config=run/config\.json to repeat the run"):
        config_files.find("run")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("get_config = lambda variant: 1 / 0", "(ZeroDivisionError: division by zero)"),
        ("get_config = lambda variant: {}", "get_config returned no ConfigDict, but {}"),
        ("def", "cannot be loaded (SyntaxError: invalid syntax"),
        ("import nowhere_at_all", "(ModuleNotFoundError: No module named 'nowhere_at_all')"),
        ("", "it has no function get_config"),
    ],
)
def test_broken_files(tmp_path, source, message):
    (tmp_path / "broken.py").write_text(source)
    with pytest.raises(UserError) as caught:
        config_files.load(tmp_path / "broken.py", "cpu")
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_other_files():
    with pytest.raises(UserError, match="neither a config file"):
        config_files.load(ROOT / "pyproject.toml", "cpu")


def test_description(own):
    title, variants = config_files.describe(own)
    assert title == "An experiment of mine."
    assert variants == {"cpu": "an hour; a large network. It learns.", "tiny-1": "seconds."}


def test_comments(own):
    """Of one or several fields, on the first line; from files beside it for fields without."""
    assert config_files.comments(own) == {
        "first": "both",
        "second": "both",
        "rows": "of the table",
        "seed": "own",
        "quiet": "from the file beside",
    }


def test_comments_of_shared_settings():
    found = config_files.comments(ROOT / "configs" / "semisupervised.py")
    assert found["method"].startswith("or fixmatch")
    assert found["batch_size"] == "global"


def test_comments_of_dicts(tmp_path):
    """A comment beside an assignment comes first."""
    path = tmp_path / "mine.py"
    settings = 'A = {\n    "seed": 0,  # dict\n    "n": 1,  # size\n}\n'
    path.write_text(settings + "def f(config):\n    config.seed = 1  # own\n")
    assert config_files.comments(path) == {"seed": "own", "n": "size"}
