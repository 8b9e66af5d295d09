"""Code blocks of pages, and what they print."""

import re

import numpy as np

NUMBER = re.compile(r"-?\d+\.\d+")
_PYTHON = r"^```python\n(.*?)^```$"


def python(page):
    """Returns the Python blocks of a Markdown page, in order."""
    return re.findall(_PYTHON, page.read_text(), re.MULTILINE | re.DOTALL)


def shown(page):
    """Returns the Python blocks that are followed by a block of what they print, with it."""
    followed = _PYTHON + r"\n+^```text\n(.*?)^```$"
    return re.findall(followed, page.read_text(), re.MULTILINE | re.DOTALL)


def assert_printed(printed, stated, atol):
    """Asserts that a snippet prints what its page says, its numbers up to a tolerance."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", stated)
    found, expected = ([float(x) for x in NUMBER.findall(s)] for s in (printed, stated))
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)
