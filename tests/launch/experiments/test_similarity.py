"""The study of similarity: its records are those of supervised training, and more."""

import json

import pytest

from configs import cifar10
from configs.similarity import get_config
from infojax.errors import UserError
from infojax.training import read_records
from launch import runs
from launch.experiments import similarity, supervised
from tests.launch.launcher import run_here, timeless

SMALL = {"num_seeds": 1, "num_steps": 8}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory, config = tmp_path_factory.mktemp("runs"), get_config("smoke")
    config.update(SMALL)
    (directory / "config.json").write_text(config.to_json())
    similarity.run(config, directory)
    return directory


def test_training_is_that_of_supervised_runs(whole, tmp_path):
    config = cifar10.get_config("smoke")
    config.update(SMALL)
    supervised.run_seed(supervised.build(config), config, config.seed, tmp_path)
    expected = timeless(read_records(tmp_path))
    found = timeless(read_records(whole))
    assert [{k: r[k] for k in e} for r, e in zip(found, expected, strict=True)] == expected
    more = {"within_class_entropy", "cosine_between", "nmi", "effective_bound_from_features"}
    assert {f"test/{name}" for name in more} <= set(found[0]) - set(expected[0])


def test_summary_and_figure(whole):
    summary = json.loads((whole / "summary.json").read_text())
    assert {"model", "final", "prediction"} <= set(summary)
    assert "rank_bound_from_head" in summary["observations"]
    assert (whole / "figures" / "similarity.png").exists()
    figure = similarity.figures([runs.load_run(whole)])["similarity"]
    assert [axis.get_ylabel() for axis in figure.axes][:2] == ["accuracy", "matrix entropy (nats)"]


def test_images_that_cannot_be_compared(tmp_path):
    config = get_config("smoke")
    config.similarity_images = 2
    with pytest.raises(UserError, match="no two of them share a class"):
        similarity.run(config, tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"population_splits": ("train",)}, 'must name "test"'),
        ({"similarity_images": 1}, "similarity_images"),
        ({"stream": True}, "stream = False"),
    ],
)
def test_refused(changes, message):
    config = get_config("smoke")
    config.update(changes)
    with pytest.raises(UserError, match=message):
        similarity.check(config)


def test_kinds_of_networks(tmp_path):
    """A grid draws accuracy against the measures, and says how well each predicts it."""
    settings = {"points": '(("mlp", 1, 0.1), ("vit", 1, 0.1))', "num_seeds": 1, "num_steps": 8}
    workdir = run_here(tmp_path, "configs/similarity.py:smoke-grid", settings)
    summary = json.loads((workdir / "summary.json").read_text())
    found = summary["comparison"]
    assert found["networks"] == ["MLP-2x64", "ViT-2x32/2"]
    assert found["prediction"].keys() >= {"mir_32", "hdr_32", "entropy_features", "constant"}
    assert "entropy of the head rows" in (workdir / "table.md").read_text()
    assert (workdir / "figures" / "similarity_networks.png").stat().st_size > 10_000
