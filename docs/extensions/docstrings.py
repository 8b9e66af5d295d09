"""Docstrings as Sphinx reads them: bars are bars, fields are described once."""

import inspect
import re


def _escape(app, what, name, obj, options, lines):
    """Escapes `|x|` outside of code, which reStructuredText takes for a substitution."""
    lines[:] = [
        "".join(part if part.startswith("`") else part.replace("|", r"\|") for part in parts)
        for parts in (re.split("(`[^`]*`)", line) for line in lines)
    ]


def _skip(app, what, name, obj, skip, options):
    """Skips the fields of a class, which its docstring describes."""
    is_method = inspect.isroutine(obj) or isinstance(obj, property)
    return True if what == "class" and not is_method else None


def setup(app):
    """Connects to autodoc."""
    app.connect("autodoc-process-docstring", _escape)
    app.connect("autodoc-skip-member", _skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
