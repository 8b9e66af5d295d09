"""The pages: Python runs and prints what they say, command lines are understood.

The Python of docs/data.md, models.md, running.md, loops.md and experiments.md is run by the tests
of what it shows; notebooks by tests/test_notebooks.py.
"""

import ast
import importlib.util
import re
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import infojax
from launch import command_line
from tests.data import snippets
from tests.launch.launcher import ROOT

N, D, C = 20, 128, 10
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
EXPERIMENTS = {"supervised", "mode_connectivity", "grokking", "sweep", "pruning"}
EXPERIMENTS |= {"semisupervised", "crossmodal", "prompt_learning", "dependence", "similarity"}


def arrays():
    """What the snippets take as given."""
    z, w = (jax.random.normal(jax.random.key(i), (n, D)) for i, n in enumerate((N, C)))
    y = jnp.arange(N, dtype=jnp.int32) % C
    states, tokens = z.reshape(2, N // 2, D), np.where(np.arange(N) < N - 3, y, -100).reshape(2, -1)
    given = {"z": z, "y": y, "w": w, "batches": [(z, y), (z + 1, y)], "states": states}
    return given | {"tokens": tokens, "unembedding": w, "infojax": infojax}


@pytest.mark.parametrize("page", ["README.md", "docs/numbers.md", "docs/meshes.md"])
def test_python(page, capsys):
    sources = snippets.python(ROOT / page)
    assert sources
    for source in sources:
        *_, last = ast.parse(source).body
        assert isinstance(last, ast.Expr)  # a call, also of print
        lines = source.replace("make_mesh((8,)", "make_mesh((2,)").splitlines()
        lines[last.lineno - 1] = "result = " + lines[last.lineno - 1]
        names = arrays()
        exec("\n".join(lines), names)
        assert all(np.all(np.isfinite(x)) for x in jax.tree.leaves(names["result"]))
    assert "nan" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["measures", "regulariser", "whole_data_sets"])
def test_python_prints_what_the_page_says(name, capsys):
    page = ROOT / "docs" / f"{name}.md"
    shown = snippets.shown(page)
    assert len(shown) == len(snippets.python(page)) > 0
    for source, stated in shown:
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            exec(source, {})
        snippets.assert_printed(capsys.readouterr().out, stated, atol=2e-3)


def shell():
    """Command lines of the pages, with the page."""
    for path in PAGES:
        for block in re.findall(r"^```sh\n(.*?)^```$", path.read_text(), re.M | re.S):
            for line in re.sub(r"\\\n\s*", " ", block).splitlines():
                yield path.stem, re.sub(r"^(\w+=\S+ )+", "", line.strip())


def test_commands_exist():
    """Modules after `python -m`, targets after `make`, files of this repository."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    found = {"module": 0, "target": 0}
    for page, line in shell():
        if module := re.match(r"python -m ([\w.]+)", line):
            assert importlib.util.find_spec(module[1]), (page, line)
            found["module"] += 1
        if target := re.match(r"make (?:\w+=\S+ )*([a-z-]+)", line):
            assert target[1] in targets, (page, line)
            found["target"] += 1
    assert min(found.values()) > 5


def commands():
    """Command lines of `python -m launch` with a config: of pages, configs and notebooks."""
    configs = [path for path in ROOT.glob("configs/*.py") if not path.stem.startswith("_")]
    for path in [*PAGES, *sorted(configs)]:
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        for line in re.findall(r"^ *python -m launch (--config=.*)$", text, re.M):
            if not re.search("NAME|RUN", line):
                yield pytest.param(line, id=f"{path.stem}: {line[:50]}")


@pytest.mark.parametrize("line", list(commands()))
def test_command_lines_are_understood(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(line, comments=True)
    found = command_line.parse(["launch", *arguments])
    assert found.config.experiment in EXPERIMENTS
