"""The pages: Python runs, command lines are understood.

The Python of docs/data.md, models.md, running.md and loops.md is run by the tests of what it shows.
"""

import ast
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


def commands():
    """Command lines of `python -m launch` with a config, of all pages."""
    for path in sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]):
        text = re.sub(r"\\\n\s*", " ", path.read_text())
        for line in re.findall(r"^python -m launch (--config=.*)$", text, re.M):
            if not re.search("NAME|RUN", line):
                yield pytest.param(line, id=f"{path.stem}: {line[:50]}")


@pytest.mark.parametrize("line", list(commands()))
def test_command_lines_are_understood(line, monkeypatch):
    monkeypatch.chdir(ROOT)
    arguments = shlex.split(line, comments=True)
    found = command_line.parse(["launch", *arguments])
    assert found.config.experiment in ("supervised", "mode_connectivity")
