"""Every notebook runs to its end, in its short form, and shows figures."""

import re

import jupytext
import nbclient
import pytest

from tests.launch.launcher import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))
LONG = ("language_model", "mode_connectivity", "grokking")  # half a minute each


def test_notebooks_are_found():
    tours = {"metrics_tour", "regularise", "language_model", "mode_connectivity"}
    assert {path.stem for path in NOTEBOOKS} >= tours | {"read_a_run", "grokking"}


# The kernel is a process of its own, whose sockets pyzmq and ipykernel close late.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=[pytest.mark.slow] * (p.stem in LONG)) for p in NOTEBOOKS],
    ids=lambda path: path.stem,
)
def test_notebook(path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("SHORT", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    notebook = jupytext.read(path)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    said = "".join(o["text"] for o in outputs if o["output_type"] == "stream")
    figures = [o for o in outputs if "image/png" in o.get("data", {})]
    assert len(figures) >= 3
    assert not re.search("Warning|Error", said), said
