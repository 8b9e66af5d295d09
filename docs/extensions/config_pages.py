"""Pages of the configs, in docs/configs: variants and fields, as `--help` has them."""

import json
from pathlib import Path

from launch import config_files

_PAGE = """# {name}

{title}

```sh
python -m launch --config={name}:{first}
```

| variant | time, what it shows |
| --- | --- |
{variants}

## Fields

`--config.FIELD=VALUE` changes a field. Values are those of the variant `{first}`.

| field | value | meaning |
| --- | --- | --- |
{fields}
"""


def page(name):
    """The page of a config."""
    path = config_files.find(name)
    title, variants = config_files.describe(path)
    first = next(iter(variants))
    values = config_files.load(path, first).to_dict()
    about = config_files.comments(path)
    order = json.loads(config_files.load(path, first).to_json())  # as they were written
    fields = [_row(f"`{field}`", f"`{values[field]!r}`", about.get(field, "")) for field in order]
    rows = [_row(f"`{variant}`", text) for variant, text in variants.items()]
    return _PAGE.format(
        name=name, title=title, variants="\n".join(rows), first=first, fields="\n".join(fields)
    )


def _row(*cells):
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _write(app, config):
    """Writes pages that have changed; Sphinx reads sources below docs/ only."""
    directory = Path(app.srcdir) / "configs"
    directory.mkdir(exist_ok=True)
    pages = {f"{name}.md": page(name) for name in config_files.names()}
    for path in directory.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for file, text in pages.items():
        path = directory / file
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app):
    """Connects to the start of a build."""
    app.connect("config-inited", _write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
