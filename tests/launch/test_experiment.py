"""Experiments are found by name, and checked for what they must export."""

import pkgutil

import pytest

from infojax.errors import UserError
from launch import experiment, experiments

NAMES = [module.name for module in pkgutil.iter_modules(experiments.__path__)]
SWEEPABLE = ("grokking", "semisupervised", "similarity", "supervised")


@pytest.mark.parametrize("name", NAMES)
def test_modules_of_this_package_are_experiments(name):
    module = experiment.load(name)
    assert module.__name__ == f"launch.experiments.{name}"
    assert experiment.load(module.__name__) is module
    assert callable(module.run) and callable(module.figures)


@pytest.mark.parametrize("name", NAMES)
def test_experiments_that_a_grid_can_run(name):
    if name not in SWEEPABLE:
        with pytest.raises(
            UserError, match=f"point_experiment = '{name}' cannot be run: .* TRACED"
        ):
            experiment.load_sweepable(name)
        return
    module = experiment.load_sweepable(name)
    assert isinstance(module.TRACED, frozenset) and "seed" in module.TRACED
    assert all(callable(getattr(module, f)) for f in ("check", "build", "run_seed"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "alchemy",
            "experiment = 'alchemy' is unknown: there is no module launch.experiments.alch",
        ),
        ("figures", "experiment = 'figures' is unknown: there is no module launch.experiments.fig"),
        ("", "experiment = '' is unknown: there is no module launch.experiments."),
        ("mine.mlp", "experiment = 'mine.mlp' is unknown: there is no module mine.mlp"),
        ("json.mlp", "experiment = 'json.mlp' is unknown: there is no module json.mlp"),
        ("grokking.run", "experiment = 'grokking.run' is unknown: there is no module grokking.run"),
        (".grokking", "experiment = '.grokking' is not the name of a module"),
        ("json.tool", "experiment = 'json.tool' cannot be run: json.tool has no run, figures"),
    ],
)
def test_names_that_are_no_experiment(name, message):
    with pytest.raises(UserError) as caught:
        experiment.load(name)
    assert str(caught.value).startswith(message)
    assert len(str(caught.value).splitlines()) == 1


def test_an_import_that_fails_in_an_experiment_is_a_defect(tmp_path, monkeypatch):
    """The experiment itself exists, so the traceback is kept."""
    (tmp_path / "mlp.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path.parent)
    with pytest.raises(ModuleNotFoundError, match="no_such_package"):
        experiment.load(f"{tmp_path.name}.mlp")
