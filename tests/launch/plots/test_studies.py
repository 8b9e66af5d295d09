"""Figures of studies: one study at a time, finished points only."""

import importlib

import pytest

from infojax.errors import UserError
from infojax.training import storage
from launch import experiment, plots
from launch.ledger import FILE

UNTRAINED = {"model": "small", "head": None, "shots": None}
PAIR = [{"seed": 0, "learning_rate": 3e-2, "omega": omega} for omega in (0, 0.25, 0.5)]


@pytest.mark.parametrize(
    ("name", "config", "points", "message"),
    [
        ("crossmodal", "crossmodal", [UNTRAINED], "holds no finished point yet"),
        ("mode_connectivity", "mode_connectivity", PAIR, "holds no complete pair yet"),
        ("pruning", "pruning", [], "holds no finished point yet"),
        ("sweep", "label_smoothing", [], "holds no finished point yet"),
    ],
)
def test_figures_are_of_one_study_with_finished_points(tmp_path, name, config, points, message):
    settings = importlib.import_module(f"configs.{config}").get_config("smoke")
    (tmp_path / "config.json").write_text(settings.to_json())
    figures = experiment.load(name).figures
    with pytest.raises(UserError, match=f"runs of {name} are drawn one at a time"):
        plots.draw(figures, [tmp_path] * 2, tmp_path / "figures")
    with pytest.raises(UserError, match="holds no finished point yet"):
        plots.draw(figures, [tmp_path], tmp_path / "figures")
    storage.write_lines(tmp_path / FILE, points)
    with pytest.raises(UserError, match=message):
        plots.draw(figures, [tmp_path], tmp_path / "figures")
    assert not (tmp_path / "figures").exists()
