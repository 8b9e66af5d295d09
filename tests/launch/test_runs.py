"""Trained networks, as read from the directories of runs."""

import json
import shutil

import jax
import numpy as np
import pytest

from infojax.errors import UserError
from infojax.training import checkpoint
from launch import image_runs, runs
from tests.data import snippets
from tests.launch import saved_runs
from tests.launch.launcher import ROOT


@pytest.fixture(scope="module")
def supervised(tmp_path_factory):
    return saved_runs.supervised(tmp_path_factory.mktemp("supervised") / "run")


@pytest.fixture
def copied(supervised, tmp_path):
    """A copy whose config can be changed."""
    return shutil.copytree(supervised[0], tmp_path / "copied")


def _change(run, **changes):
    config = json.loads((run / "config.json").read_text()) | changes
    config = {name: value for name, value in config.items() if value is not None}
    (run / "config.json").write_text(json.dumps(config))


def _equal(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for x, y in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(x, y)


def test_everything_of_a_run(supervised):
    workdir, program = supervised
    run = runs.load(str(workdir), seed=1)
    _, saved = checkpoint.load(workdir / "seed-1" / "checkpoints")
    _equal(run.params, saved["ema"])
    _equal(run.model_state, saved["model_state"])
    assert (run.seed, run.step, run.config.depth) == (1, saved_runs.STEP, 10)
    assert run.records == [{"step": saved_runs.STEP, "seconds": 1.0, "test/accuracy": 0.1}]
    assert run.model.head_of(run.params)[0].shape == (10, 64)
    _equal(run.data(), program.data)


def test_features_are_those_of_training(supervised):
    """In several batches, the last of them not full."""
    workdir, program = supervised
    run, images = runs.load(workdir), program.data.test.images[:150]
    assert run.seed == 0 and run.network.batch_size == 64
    z, logits = run.features(images)
    pixels = (images / np.float32(255) - program.data.mean) / program.data.std
    expected = program.model.apply(run.params, run.model_state, pixels.astype(np.float32), False)
    np.testing.assert_allclose(z, expected[0], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logits, expected[1], rtol=1e-4, atol=1e-5)
    w, b = run.head
    np.testing.assert_allclose(z @ w.T + b, logits, rtol=1e-4, atol=1e-5)
    assert z.shape == (150, 64)
    np.testing.assert_allclose(run.features(list(images[:3]))[0], z[:3], rtol=1e-4, atol=1e-5)


def test_snippet_of_the_docs(supervised, tmp_path, monkeypatch, capsys):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cifar10").symlink_to(supervised[0])
    monkeypatch.chdir(tmp_path)
    (source,) = snippets.python(ROOT / "docs" / "running.md")
    exec(source, {})
    step, mir = capsys.readouterr().out.split()
    assert int(step) == saved_runs.STEP and 0 < float(mir) < 1


def test_layers(supervised):
    workdir, program = supervised
    run, images = runs.load(workdir), program.data.test.images[:70]
    found = run.layers(images, ["stem", "group1_block0"])
    assert {name: x.shape for name, x in found.items()} == {
        "stem": (70, 16),
        "group1_block0": (70, 32),
        "features": (70, 64),
    }
    np.testing.assert_allclose(found["features"], run.features(images)[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="there is no layer 'stm'; use stem, group0_block0"):
        run.layers(images, ["stm"])


def test_seeds_share_a_network(supervised):
    first, second = runs.load_seeds(supervised[0])
    assert (first.seed, second.seed) == (0, 1)
    assert first.network is second.network
    assert not np.array_equal(first.head[0], second.head[0])


def test_without_the_data(copied, supervised):
    """A run is read where its data set is not."""
    _change(copied, dataset="./nowhere")
    images = supervised[1].data.test.images[:5]
    run = runs.load(copied)
    _equal(run.features(images), runs.load(supervised[0]).features(images))
    with pytest.raises(UserError, match="nowhere"):
        run.data()


def test_a_run_does_not_continue_on_other_images(copied, supervised):
    data, path = supervised[1].data, copied / "seed-0" / "data.json"
    before = path.read_text()
    for changed in (data._replace(mean=data.mean + 0.01), data._replace(num_classes=9)):
        with pytest.raises(UserError, match=r"the images have changed since the run in .*seed-0"):
            image_runs.describe(changed, path.parent)
        assert path.read_text() == before
    image_runs.describe(data._replace(mean=data.mean * np.float32(1 + 1e-6)), path.parent)
    shutil.rmtree(path.parent / "checkpoints")
    image_runs.describe(changed, path.parent)
    assert json.loads(path.read_text())["num_classes"] == 9
    (path.parent / "endpoints" / "a" / "checkpoints" / "3").mkdir(parents=True)  # of a pair
    with pytest.raises(UserError, match="the images have changed since"):
        image_runs.describe(data, path.parent)


NULLS = json.dumps(dict.fromkeys(("image_shape", "num_classes", "mean", "std")))
TEXTS = NULLS.replace("null", '["8"]')


@pytest.mark.parametrize("content", ["", "[]", '{"mean": 1}', "\x80", NULLS, TEXTS])
def test_a_damaged_description(copied, supervised, content):
    path = copied / "seed-0" / "data.json"
    path.write_text(content, encoding="latin1")
    with pytest.raises(UserError, match=r"data.json is damaged: restore it, or remove it"):
        image_runs.describe(supervised[1].data, path.parent)
    with pytest.raises(UserError, match=r"data.json is damaged"):
        runs.load(copied, seed=0)


def test_a_damaged_summary(tmp_path):
    with pytest.raises(UserError, match="holds no finished point yet"):
        runs.read_summary(tmp_path)
    (tmp_path / "summary.json").write_text('{"points": [')
    with pytest.raises(UserError, match=r"summary.json is damaged; the command that ran"):
        runs.read_summary(tmp_path)


def test_of_an_older_version(copied, supervised):
    """Without the fields and the description that runs had not then."""
    _change(copied, model=None, wide_resnet_form=None, image_size=None, stream=None, mlp_depth=None)
    for seed in ("seed-0", "seed-1"):
        (copied / seed / "data.json").unlink()
    images = supervised[1].data.test.images[:5]
    _equal(runs.load(copied).features(images), runs.load(supervised[0]).features(images))


def test_state_of_methods_is_left_out(tmp_path):
    workdir, state = saved_runs.semi_supervised(tmp_path / "run")
    run = runs.load(workdir)
    assert set(run.model_state) == {"batch_stats"}
    _equal(run.model_state["batch_stats"], state.model_state["batch_stats"])
    assert run.features(np.zeros((2, 8, 8, 1), np.uint8))[1].shape == (2, 10)


def test_grokking(tmp_path):
    workdir, program, params = saved_runs.grokked(tmp_path / "run")
    run = runs.load(workdir)
    fitted, test = run.data()
    assert len(fitted.results) + len(test.results) == 169
    z, logits = run.features(test.operands)
    expected = program.model.apply({"params": params}, test.operands)
    np.testing.assert_allclose(z, expected[0], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(z @ run.head[0].T + run.head[1], logits[:, :-1], atol=1e-5)
    with pytest.raises(UserError, match=r"pairs of operands, integer \[n, 2\] in \[0, 13\)"):
        run.features([[0, 13]])


def _refused(*arguments, **keywords):
    with pytest.raises(UserError) as caught:
        runs.load(*arguments, **keywords)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_what_cannot_be_read(copied, tmp_path):
    assert _refused(tmp_path / "none") == f"{tmp_path / 'none'} is not a run: it has no config.json"
    assert _refused(copied, seed=2) == f"{copied} is a run of seed 0, 1, not of seed 2"
    shutil.rmtree(copied / "seed-0" / "checkpoints")
    assert "nothing has been trained yet" in _refused(copied)
    assert runs.load(copied, seed=1).step == saved_runs.STEP
    _change(copied, width=2)
    line = r"holds another network than config.json: model_state/batch_stats/group0_block0/"
    assert line in _refused(copied, seed=1)
    _change(copied, experiment="sweep")
    (copied / "points").mkdir()
    line = f"keeps no single network; load one of the runs in {copied / 'points'}"
    assert _refused(copied) == f"{copied} is a run of sweep, which {line}"


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 8, 8), "u1"), ((2, 8, 8, 1), "f4"), ((0, 8, 8, 1), "u1")]
)
def test_images_that_do_not_fit(supervised, shape, dtype):
    with pytest.raises(UserError, match=r"images must be uint8 \[n, 8, 8, 1\], n > 0; got "):
        runs.load(supervised[0]).features(np.zeros(shape, dtype))
