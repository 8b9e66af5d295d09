"""The page of claims is what the committed extract says; a run's observations enter it."""

import json
import runpy

import pytest

from tests.launch.launcher import ROOT

CLAIMS = runpy.run_path(str(ROOT / "docs" / "claims.py"))


def test_page_is_up_to_date():
    assert (ROOT / "docs" / "claims.md").read_text() == CLAIMS["page"](*CLAIMS["read"]())


def test_claims_name_configs_and_observations():
    """A claim's config exists, and what a run of the extract was to answer is in its summary."""
    claims, extracts = CLAIMS["read"]()
    for claim in claims:
        config, variant = claim["config"].split(":")
        assert f"  {variant}: " in (ROOT / "configs" / f"{config}.py").read_text(), claim
        if claim["run"] in extracts:
            assert set(claim["observations"]) <= set(extracts[claim["run"]]["observations"])


@pytest.fixture
def run(tmp_path):
    observed = {
        "rises": {
            "text": "|r| of MIR",
            "measured": [0.5, 0.75, None],
            "holds": [True, False, None],
        },
        "level": {
            "text": "MIR",
            "measured": [{"start": 1, "seeds": {"hits": 2, "of": 3}, "range": [0.25, 0.5]}],
            "holds": [None],
        },
    }
    files = {
        "summary": {"observations": observed, "comparison": {"observations": {}}},
        "config": {
            **{"experiment": "grokking", "num_seeds": 3, "modulus": 59, "operation": "a+b"},
            "num_steps": 1_000,
        },
        "environment": [{"git_commit": "0123456789-dirty"}, {"git_commit": None}],
    }
    for name, content in files.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    return CLAIMS["extract"](tmp_path)


def test_a_run_becomes_a_section(run):
    lines = CLAIMS["page"]([], {"mine": run}).splitlines()
    size = "a+b mod 59, 1,000 epochs, 3 seeds"
    assert f"Experiment `grokking`: {size}, commit 0123456+ to unknown" in lines
    assert r"| \|r\| of MIR | 0.625 (0.5 to 0.75) | 1 of 2 |" in lines
    assert "| MIR | start: 1, seeds: 2 of 3, range: 0.25 to 0.5 | – |" in lines


def test_a_claim_is_answered_by_a_run(run):
    claim = {"text": "It rises", "where": "[A]", "config": "grokking:cpu", "run": "mine"}
    claim |= {"observations": ["rises", "falls"]}
    rows = list(CLAIMS["answers"](claim, {"mine": run}))
    how = "`grokking:cpu`: a+b mod 59, 1,000 epochs, 3 seeds"
    assert rows[0] == rf"| It rises | [A] | \|r\| of MIR: 0.625 (0.5 to 0.75) | 1 of 2 | {how} |"
    assert rows[1] == f"|  |  | not measured | – | {how} |"
    rows = list(CLAIMS["answers"](claim, {}))
    assert rows == ["| It rises | [A] | not measured | – | `grokking:cpu` |"]


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(SystemExit, match="it has no"):
        CLAIMS["main"]([tmp_path])
