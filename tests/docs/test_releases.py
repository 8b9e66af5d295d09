"""Version, citation, changelog and the table of supported versions agree."""

import re
import tomllib

import yaml

import infojax
from tests import check_release
from tests.launch.launcher import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
RELEASES = (ROOT / "docs" / "releases.md").read_text()
KINDS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")


def test_the_citation_names_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == infojax.__version__
    assert citation["license"] == PROJECT["license"]


def test_the_changelog_keeps_its_form():
    """As keepachangelog.com has it: versions, newest first, in sections of six kinds."""
    text = (ROOT / "CHANGELOG.md").read_text()
    versions = re.findall(r"^## (.*)$", text, re.M)
    assert versions[0] == "[Unreleased]"
    dated = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - \d{4}-\d\d-\d\d", v) for v in versions[1:]]
    numbers = [tuple(map(int, found.groups())) for found in dated]
    assert numbers == sorted(numbers, reverse=True)
    for section in re.split(r"^## .*$", text, flags=re.M)[1:]:
        kinds = re.findall(r"^### (.*)$", section, re.M)
        assert kinds == sorted(set(kinds), key=KINDS.index)


def test_the_table_of_versions_is_that_of_the_project():
    oldest = PROJECT["requires-python"].removeprefix(">=")
    assert oldest == check_release.OLDEST
    assert f"| Python | {oldest} | {check_release.NEWEST} |" in RELEASES
    bounds = {name: bound for name, bound in (d.split(">=") for d in PROJECT["dependencies"])}
    for name, bound in bounds.items():
        assert re.search(rf"^\| {name} \| {re.escape(bound)}[. ]", RELEASES, re.M)


def test_every_extra_is_in_the_table():
    for extra in PROJECT["optional-dependencies"]:
        assert re.search(rf"^\| .*`{extra}`", RELEASES, re.M), extra


def test_lower_bounds_are_exact():
    found = check_release.lower_bounds()
    assert len(found) > 15
    assert all("==" in each and ">=" not in each for each in found)
    assert any(each.startswith("jax==0.10") for each in found)
