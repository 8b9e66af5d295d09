"""Links: code that names a public function leads to its description; paths beyond docs/ to text."""

import re

from docutils import nodes
from sphinx.util.nodes import make_refnode

_NAME = re.compile(r"(?:infojax\.)?([A-Za-z_]+(?:\.[A-Za-z_]+)*)(?:\(.*\))?")
_PACKAGES = ("infojax", "infojax.population", "infojax.training")


def _link(app, doctree, docname):
    """Turns code such as `population.interplay(s, w)` into a link where the API has the name."""
    known = app.env.domains["py"].objects
    for code in list(doctree.findall(nodes.literal)):
        found = _NAME.fullmatch(code.astext())
        parents = (nodes.reference, nodes.title)
        if not found or isinstance(code.parent, parents):
            continue
        targets = [t for p in _PACKAGES if (t := f"{p}.{found[1]}") in known]
        if targets:
            entry = known[targets[0]]
            link = make_refnode(
                app.builder, docname, entry.docname, entry.node_id, code.deepcopy(), targets[0]
            )
            code.replace_self(link)


def _paths(app, docname, source):
    """Notebooks are copied into docs/; the site has no pages of other files."""
    text = source[0].replace("](../notebooks/", "](notebooks/")
    text = text.replace("](../CONTRIBUTING.md)", "](contributing.md)")
    source[0] = re.sub(r"\[([^]]*)\]\(\.\./[^)]*\)", r"`\1`", text)


def setup(app):
    """Connects to the pages as read and as resolved."""
    app.connect("source-read", _paths)
    app.connect("doctree-resolved", _link)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
