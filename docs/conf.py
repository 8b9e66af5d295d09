"""The documentation site: `make docs`."""

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE / "extensions"), str(ROOT)]
os.environ["PYTHONPATH"] = str(ROOT)  # notebooks import launch, which is not installed
os.environ.setdefault("JAX_PLATFORMS", "cpu")

project = "infojax"
author = copyright = "the infojax authors"
version = release = metadata.version("infojax")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "accessible",
    "config_pages",
    "docstrings",
    "links",
    "mathml",
]
exclude_patterns = ["conf.py", "claims.py", "claims.toml", "extensions"]

# Sphinx reads sources below docs/ only.
shutil.rmtree(HERE / "notebooks", ignore_errors=True)
shutil.copytree(ROOT / "notebooks", HERE / "notebooks", ignore=shutil.ignore_patterns("*.ipynb"))

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
nb_custom_formats = {".py": ["jupytext.reads", {"fmt": "py:percent"}]}
nb_execution_mode = "cache"
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_merge_streams = True

autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_attr_annotations = False
default_role = "py:obj"  # names become links, other text is code
maximum_signature_line_length = 72
# Names of infojax must be found, type variables excepted; other backticks may be formulas.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"(?s)(?!infojax\.).*|.*\.(T|Tree|State|Result|Lane)")]

html_theme = "furo"
html_title = "infojax"
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
