"""Code blocks of pages."""

import re


def python(page):
    """Returns the Python blocks of a Markdown page, in order."""
    return re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
