"""Every part in its small form, and that it goes on where it was."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from benchmarks.accelerator import parts, report, results, step, torch_side
from benchmarks.accelerator.context import Clock, Context

ABOUT = {"device": "cpu", "small": True}


@pytest.fixture(autouse=True)
def _promotion():
    """As users run: flax and optax mix dtypes."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.fixture
def context(tmp_path, monkeypatch):
    monkeypatch.setattr(torch_side, "installed", lambda: False)
    return Context(tmp_path, True, Clock(300), tmp_path / "parts", "large")


@pytest.mark.parametrize("name", parts.PARTS)
def test_a_part_is_complete_and_not_repeated(name, context):
    assert parts.measure(name, context, ABOUT)
    found = results.measured(context.out, name)
    assert {r["status"] for r in found.values()} == {results.OK}
    assert [name for name, r in found.items() if not r.get("holds", True)] == []
    count = len(results.read(context.out))
    assert parts.measure(name, context, ABOUT)
    assert len(results.read(context.out)) == count + 1  # that it is complete
    assert results.complete(context.out, parts.goal(name, context.recipe))
    page = report.write(context.out)
    assert parts.PARTS[name].title in page
    assert all(measurement in page for measurement in found)


def test_the_parts_need_none_of_the_packages_that_a_bare_machine_lacks():
    modules = [f"benchmarks.accelerator.{path.stem}" for path in SOURCES.glob("*.py")]
    imports = "; ".join(f"import {name}" for name in modules if not name.endswith("pack"))
    subprocess.run([sys.executable, "-c", f"{WITHOUT}; {imports}"], check=True)


SOURCES = Path(parts.__file__).parent
# A package set to None is not found by `import`.
WITHOUT = (
    "import sys; sys.modules |= dict.fromkeys("
    "['ml_collections', 'tensorflow_datasets', 'array_record', 'tensorboardX', 'torch'])"
)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
@pytest.mark.filterwarnings("default")
def test_pytorch_computes_the_same(context, monkeypatch):
    monkeypatch.setattr(torch_side, "installed", lambda: True)
    for name in ("metrics", "step", "grokking"):
        assert parts.measure(name, context, ABOUT)
    for record in results.measured(context.out, "metrics").values():
        if record.get("contender") == "torch":
            ours = results.measured(context.out, "metrics")[_name(record)]
            assert record["mir"] == pytest.approx(ours["mir"], rel=1e-4)
    steps, grokking = (results.measured(context.out, name) for name in ("step", "grokking"))
    losses = [r["first_loss"] for k, r in steps.items() if "tf32, batch" in k]
    assert len(losses) == 2
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    losses = [grokking[f"step, {who}"]["first_loss"] for who in ("infojax", "torch, default")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
@pytest.mark.filterwarnings("default")
def test_the_network_of_the_papers_is_pytorch_s(context):
    sizes = step._FULL._replace(recipe=step._FULL.recipe._replace(batch_size=8), steps=2)
    own = step._first_loss(sizes.recipe, sizes)
    other = step._torch(sizes, torch_side.Compiled("float32", {"backend": "aot_eager"}))
    assert own == pytest.approx(other["first_loss"], rel=1e-4)
    assert step._operations(sizes.recipe, sizes) == pytest.approx(8 * OPERATIONS, rel=0.1)


OPERATIONS = 1.2e9  # of forward and backward pass of an image


def _name(record):
    return f"infojax, n = {record['n']}{', with gradient' if record['gradient'] else ''}"
