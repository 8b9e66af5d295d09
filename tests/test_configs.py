"""Properties of every config; the tests of its experiment run each of them end to end."""

import importlib
import pkgutil
import re

import pytest

import configs
from launch import config_files

SHARED = ("_variants", "supervised")
NAMES = [m.name for m in pkgutil.iter_modules(configs.__path__) if m.name not in SHARED]


@pytest.mark.parametrize("name", NAMES)
def test_variants(name):
    module = importlib.import_module(f"configs.{name}")
    variants = {v: module.get_config(v) for v in ("smoke", "cpu", "paper")}
    assert module.get_config().to_dict() == variants["cpu"].to_dict()
    fields = {tuple(sorted(config)) for config in variants.values()}
    assert len(fields) == 1  # variants change values, not fields
    for config in variants.values():
        experiment = importlib.import_module(f"launch.experiments.{config.experiment}")
        assert callable(experiment.run)
    with pytest.raises(ValueError, match=r"'tiny'; use .*cpu, paper.* smoke"):
        module.get_config("tiny")


@pytest.mark.parametrize("name", NAMES)
def test_docstring_gives_command_and_time(name):
    text = re.sub(r"\\\n\s+", "", importlib.import_module(f"configs.{name}").__doc__)
    assert f"python -m launch --config=configs/{name}.py:cpu --workdir=runs/{name}" in text
    assert "minutes" in text or "seconds per step" in text


@pytest.mark.parametrize("name", NAMES)
def test_every_field_has_a_comment(name):
    """What `--help` and the pages of the configs tell of it."""
    path = config_files.find(name)
    about = config_files.comments(path)
    for variant in config_files.describe(path).variants:
        missing = set(config_files.load(path, variant).to_dict()) - set(about)
        assert not missing, variant
