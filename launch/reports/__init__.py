"""The report of runs: one self-contained page, including the library that draws it.

plotly.js (MIT) draws the curves: of the maintained libraries it is the only one with SVG that a
style sheet recolours for dark screens and print. It costs 4.8 MB a page; Bokeh (1.3 MB) draws on a
canvas, Altair needs a converter of 33 MB. Used only in this package.
"""

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from plotly import offline

from infojax.training import storage
from launch.reports import curves, points, reading, tables
from launch.reports.html import Html, data_script, joined, raw_script, tag
from launch.reports.reading import Content

FILE = "report.html"
_HERE = Path(__file__).parent


def draw(workdirs: list[Path], path: Path) -> None:
    """Writes the report of one run, or of several side by side.

    Raises:
      UserError: a directory is not a run, or a file in it is damaged.
      StorageError: the page cannot be written.
    """
    text = page(reading.read(workdirs))
    with storage.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def page(contents: Sequence[Content]) -> str:
    """Returns the page of what runs hold."""
    title = f"Report: {', '.join(content.run.name for content in contents)}"
    sections = {name: body for name, body in _sections(contents).items() if body}
    runs = [content.run for content in contents]
    data = {"charts": curves.charts(runs), "log": curves.calls_for_log(runs)}
    scripts = offline.get_plotlyjs(), (_HERE / "page.js").read_text()
    links = [tag("a", name, href=f"#{_anchor(name)}") for name in sections]
    body = tag(
        "body",
        tag("header", tag("h1", title), tag("nav", *links, aria_label="Sections")),
        tag("main", *(_section(name, found) for name, found in sections.items())),
        data_script("data", data),
        *(raw_script(script) for script in scripts),
    )
    return f"<!DOCTYPE html>\n{tag('html', _head(title, scripts), body, lang='en')}\n"


def _head(title: str, scripts: Sequence[str]) -> Html:
    """The head: nothing is loaded from elsewhere, and no other script runs."""
    hashes = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:"
    )
    return tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name_="color-scheme", content="light dark"),
        tag("link", rel="icon", href="data:,"),
        tag("title", title),
        tag("style", Html((_HERE / "page.css").read_text())),
    )


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def _sections(contents: Sequence[Content]) -> dict[str, Html]:
    """The content of each section by its title; empty ones are left out."""
    several = len(contents) > 1
    return {
        "Runs": tables.of_runs(contents),
        "Observations": joined(
            filter(None, (tables.of_observations(content, several) for content in contents))
        ),
        "Curves": _curves(contents),
        "Grid": joined(filter(None, map(tables.of_grid, contents))),
        "Points": joined(_points(content, several) for content in contents if content.points),
        "Numbers": joined(
            filter(
                None,
                [
                    tables.of_numbers(contents),
                    *map(tables.of_evaluation, contents),
                    *map(tables.of_results, contents),
                ],
            )
        ),
        "Settings": tables.of_settings(contents),
        "Environment": tables.of_environments(contents),
    }


def _section(name: str, body: Html) -> Html:
    return tag("section", tag("h2", name), body, id=_anchor(name))


def _anchor(name: str) -> str:
    return name.lower()


def _curves(contents: Sequence[Content]) -> Html:
    """The place of the charts, which page.js draws, and how steps are shown."""
    if not any(content.run.histories for content in contents):
        return Html()
    box = tag("input", type="checkbox", id="log")
    seeds = any(len(content.run.histories) > 1 for content in contents)
    note = "Lines are means over seeds, bands their range. " * seeds
    return joined(
        [
            tag("p", tag("label", box, " logarithmic steps"), class_="controls"),
            tag("div", id="charts"),
            tag(
                "p",
                f"{note}Drag to zoom, double-click to zoom out; click a name to hide its curve.",
                class_="note",
            ),
        ]
    )


def _points(content: Content, several: bool) -> Html:
    """A study's table, and a chart of any two of its columns."""
    name = content.run.name
    found = points.of_points(content.points, f"Points of {name}", several)
    x, y, group = found.axes
    more = tag("label", tag("input", type="checkbox", class_="all"), " all columns")
    return tag(
        "div",
        tag("div", class_="explorer", data_x=x, data_y=y, data_group=group),
        tag("p", more, class_="controls"),
        found.html,
        class_="study",
    )
