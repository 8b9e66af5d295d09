"""What Sphinx and its theme leave out of their pages for keyboards and screen readers."""

import re
from pathlib import Path

_PLAIN = {
    '<p class="caption" role="heading">': '<p class="caption" role="heading" aria-level="2">',
    '<aside class="sidebar-drawer">': '<aside class="sidebar-drawer" aria-label="Contents">',
    "<pre>": '<pre tabindex="0">',  # scrolls where its lines are long
}
# Parameters on lines of their own are no list of definitions.
_PARAMETERS = re.compile(r"<dl>\s*((?:<dd>.*?</dd>\s*)+)</dl>", re.DOTALL)


def _as_lines(found):
    lines = found[1].replace("<dd>", '<span class="sig-line">').replace("</dd>", "</span>")
    return f'<span class="sig-lines">{lines}</span>'


def _complete(app, problem):
    """Completes every page; once done, a page stays as it is."""
    if problem or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        before = path.read_text()
        after = _PARAMETERS.sub(_as_lines, before)
        for part, better in _PLAIN.items():
            after = after.replace(part, better)
        if after != before:
            path.write_text(after)


def setup(app):
    """Connects to the end of the build."""
    app.connect("build-finished", _complete)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
