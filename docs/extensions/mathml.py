"""Formulas as MathML, which browsers draw themselves, with a font that has the measures for it.

No script is loaded and nothing is requested from elsewhere.
"""

import logging
import re
from importlib import resources
from pathlib import Path

import latex2mathml.converter
from docutils import nodes
from fontTools import subset

FONT = "STIXTwoMath.woff"
_RANGES = "20-7E,A0-FF,2B0-36F,391-3F5,2000-22FF,2300-23FF,27C0-27FF,2A00-2AFF,1D400-1D7FF"


def _formula(node, display):
    """MathML of a formula, with thin spaces around `log` where no bracket follows."""
    text = re.sub(r"(?<=[\w}]) *\\log", r"\\,\\log", node.astext())
    text = re.sub(r"\\log (?=[\w\\])", r"\\log\\, ", text)
    return latex2mathml.converter.convert(text, display=display)


def _inline(self, node):
    self.body.append(_formula(node, "inline"))
    raise nodes.SkipNode


def _block(self, node):
    self.body.append(f'<div class="math" tabindex="0">{_formula(node, "block")}</div>\n')
    raise nodes.SkipNode


def _write_font(app, problem):
    """Writes the signs of formulas from STIX Two Math, which ziamath brings along."""
    if problem or app.builder.format != "html":
        return
    with resources.as_file(
        resources.files("ziamath") / "fonts" / "STIXTwoMath-Regular.ttf"
    ) as path:
        options = subset.Options(flavor="woff", layout_features=["ssty", "dtls", "flac"])
        font = subset.load_font(str(path), options)
        subsetter = subset.Subsetter(options)
        subsetter.populate(unicodes=subset.parse_unicodes(_RANGES))
        subsetter.subset(font)
        subset.save_font(font, str(Path(app.outdir) / "_static" / FONT), options)


def setup(app):
    """Registers the renderer."""
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.config.html_math_renderer = "mathml"
    app.connect("build-finished", _write_font)
    logging.getLogger("fontTools").setLevel(logging.WARNING)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
