"""Figures of studies: of one at a time, and only of finished points."""

import importlib

import pytest

from infojax.errors import UserError
from infojax.training import storage
from launch import experiment, plots
from launch.ledger import FILE

CONFIGS = {
    "crossmodal": "crossmodal",
    "mode_connectivity": "mode_connectivity",
    "pruning": "pruning",
    "sweep": "label_smoothing",
}


@pytest.fixture
def draw(tmp_path):
    """Draws as many runs of an experiment as asked for, with points but no other results."""

    def call(name, count=1, points=()):
        config = importlib.import_module(f"configs.{CONFIGS[name]}").get_config("smoke")
        (tmp_path / "config.json").write_text(config.to_json())
        storage.write_lines(tmp_path / FILE, points)
        figures = experiment.load(name).figures
        return plots.draw(figures, [tmp_path] * count, tmp_path / "figures")

    yield call
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize("name", CONFIGS)
def test_figures_are_of_one_study_with_finished_points(draw, name):
    with pytest.raises(UserError, match=f"runs of {name} are drawn one at a time"):
        draw(name, 2)
    with pytest.raises(UserError, match="holds no finished point yet"):
        draw(name)


def test_a_pair_is_drawn_when_it_is_complete(draw):
    points = [{"seed": 0, "learning_rate": 3e-2, "omega": w} for w in (0, 0.25, 0.5)]
    with pytest.raises(UserError, match="holds no complete pair yet"):
        draw("mode_connectivity", points=points)


def test_features_before_training_are_no_finished_point(draw):
    with pytest.raises(UserError, match="holds no finished point yet"):
        draw("crossmodal", points=[{"model": "small", "head": None, "shots": None}])
