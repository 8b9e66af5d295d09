"""The site's sources: every public name and every page is on it."""

import importlib
import pkgutil
import re
import runpy

import pytest

import infojax
from tests.launch.launcher import ROOT

DOCS = ROOT / "docs"
# The mathematics is documented by what it exports.
EXPORTED = {"alignment", "information", "matrices", "permutations"}
INTERNAL = {  # of the data sets' readers, used by images and disk
    "data.arrays",
    "data.available",
    "data.channels",
    "data.decoding",
    "data.folders",
    "data.hub",
    "data.memory",
    "data.tfds",
}


def documented():
    """Modules whose members a page of the API lists."""
    text = "\n".join(path.read_text() for path in (DOCS / "api").glob("*.md"))
    return set(re.findall(r"automodule:: (\S+)\n   :members:", text))


def public_modules():
    for package in (infojax, importlib.import_module("infojax.methods")):
        yield from _below(package)
    for name in ("models", "data"):
        yield from _below(importlib.import_module(f"infojax.{name}"))


def _below(package):
    for found in pkgutil.iter_modules(package.__path__):
        if not found.name.startswith("_") and not (found.ispkg and package is infojax):
            yield f"{package.__name__}.{found.name}"


def test_every_public_name_is_documented():
    shown = documented()
    assert {"infojax", "infojax.population", "infojax.training"} <= shown
    missing = set(public_modules()) - shown - {f"infojax.{m}" for m in EXPORTED | INTERNAL}
    assert not missing, f"add {sorted(missing)} to docs/api"


def classes():
    """Classes that hold results, from the modules that export them."""
    for module in (infojax, infojax.population, infojax.collapse):
        for cls in vars(module).values():
            if isinstance(cls, type) and cls.__module__.startswith("infojax"):
                yield pytest.param(cls, id=cls.__name__)


@pytest.mark.parametrize("cls", list(classes()))
def test_every_field_is_described(cls):
    fields = getattr(cls, "_fields", None) or cls.__dataclass_fields__
    described = re.findall(r"^ {6}(\w+):", cls.__doc__, re.M)
    assert described == list(fields)


def test_every_page_is_in_the_contents():
    contents = (DOCS / "index.md").read_text()
    for path in DOCS.glob("*.md"):
        assert path.stem == "index" or re.search(rf"^{path.stem}$", contents, re.M), path


def test_page_of_a_config():
    """Its variants and fields, each with its value and meaning."""
    page = runpy.run_path(str(DOCS / "extensions" / "config_pages.py"))["page"]("label_smoothing")
    assert "| `smoke` | seconds; digits, two points. |" in page
    assert "| `label_smoothing` | `0.0` | ε: targets (1 - ε) one-hot + ε / C |" in page
    assert r"| I and \|ΔH\| in nats; or" in page
