"""The page of claims is what the committed extract says; a run's observations enter it."""

import json
import runpy

import pytest

from tests.launch.launcher import ROOT

CLAIMS = runpy.run_path(str(ROOT / "docs" / "claims.py"))


def test_page_is_up_to_date():
    runs = json.loads((ROOT / "docs" / "claims.json").read_text())
    assert (ROOT / "docs" / "claims.md").read_text() == CLAIMS["page"](runs)


def test_a_run_becomes_a_section(tmp_path):
    observed = {
        "rises": {
            "text": "|r| of MIR",
            "measured": [0.5, 0.75, None],
            "holds": [True, False, None],
        },
        "level": {"text": "MIR", "measured": [{"start": 1, "end": 0.25}], "holds": [None]},
    }
    files = {
        "summary": {"observations": observed, "over_seeds": {}},
        "config": {"experiment": "grokking", "num_seeds": 3},
        "environment": [{"git_commit": None}, {"git_commit": "0123456789"}],
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    lines = CLAIMS["page"]({"mine": CLAIMS["extract"](tmp_path)}).splitlines()
    assert "Experiment `grokking`, 3 seeds, commit 0123456" in lines
    assert r"| \|r\| of MIR | 0.625 (0.5 to 0.75) | 1 of 2 |" in lines
    assert "| MIR | start: 1, end: 0.25 | – |" in lines


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="it has no"):
        CLAIMS["main"]([tmp_path])
