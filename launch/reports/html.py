"""HTML that is escaped by construction: anything but `Html` is text."""

import html
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

_LONGEST = 1_000  # characters of a cell


class Html(str):
    """Markup that `tag` made."""

    __slots__ = ()


def tag(name: str, *children: str, **attributes: Any) -> Html:
    """Returns an element.

    Args:
      name: of the element.
      children: elements, and text to be escaped.
      attributes: their values are escaped; `_` in a name stands for `-`, except at its end, and
        None leaves the attribute out.

    >>> print(tag("p", "a < b", tag("br"), class_="note", data_value=3))
    <p class="note" data-value="3">a &lt; b<br></p>
    """
    pairs = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in ("br", "input", "link", "meta"):
        return Html(f"<{name}{pairs}>")
    return Html(f"<{name}{pairs}>{joined(children)}</{name}>")


def joined(children: Iterable[str]) -> Html:
    """Returns elements and escaped text in a row."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c) for c in children))


def raw_script(text: str, **attributes: Any) -> Html:
    """Returns a script element; its text is not escaped, and must not hold its end tag."""
    if "</script" in text.lower():
        raise ValueError("a script cannot hold its own end tag")
    return tag("script", Html(text), **attributes)


def data_script(name: str, content: Any) -> Html:
    """Returns a script element that holds data, to be read with JSON.parse."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return raw_script(text.replace("<", "\\u003c"), type="application/json", id=name)


def shown(value: Any) -> str:
    """Returns a value as a reader wants it: numbers with four digits, nothing for None.

    >>> shown(0.123456), shown(12000), shown(None), shown([1, 2.5]), shown(True)
    ('0.1235', '12,000', '', '1, 2.5', 'yes')
    """
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}" if abs(value) >= 10_000 else str(value)
        case float():
            return f"{value:.4g}"
        case list() | tuple():
            return ", ".join(map(shown, value))
        case dict():
            return ", ".join(f"{key}: {shown(each)}" for key, each in value.items())
    return str(value)


def finite(value: Any) -> float | None:
    """Returns a number with six digits, as JSON can hold it; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(f"{value:.6g}")


class Cell:
    """A cell of a table: what is shown, and what it is sorted by."""

    def __init__(self, text: str, value: Any = None, kind: str | None = None) -> None:
        """Takes text or an element, a number to sort by, and a CSS class."""
        self.text, self.value, self.kind = text, finite(value), kind


def cell(value: Any) -> Cell:
    """Returns the cell of a value; a long text is cut."""
    text = shown(value)
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text):,} characters)"
    return Cell(text, value, "number" if finite(value) is not None else None)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    caption: str,
    titled: bool = True,
    kinds: Sequence[str | None] = (),
    **attributes: Any,
) -> Html:
    """Returns a table whose columns can be sorted, in a box that scrolls sideways.

    Args:
      columns: their titles.
      rows: of cells.
      caption: above the table.
      titled: whether the caption is seen, or only read out, because a heading says the same.
      kinds: CSS class of each column, if any.
      attributes: of the table.
    """
    classes = list(kinds) or [None] * len(columns)
    head = [
        tag("th", tag("button", c, type="button"), scope="col", class_=k)
        for c, k in zip(columns, classes, strict=True)
    ]
    body = [tag("tr", *map(_td, row, classes)) for row in rows]
    hidden = None if titled else "hidden"
    content = (
        tag("caption", caption, class_=hidden),
        tag("thead", tag("tr", *head)),
        tag("tbody", *body),
    )
    box = {"class_": "scroll", "tabindex": 0, "role": "region", "aria_label": caption}
    return tag("div", tag("table", *content, **attributes), **box)


def _td(found: Cell, column: str | None) -> Html:
    classes = " ".join(filter(None, (found.kind, column))) or None
    return tag("td", found.text, class_=classes, data_value=found.value)
