"""Config files: found by name, loaded, and read for what they say about themselves."""

import ast
import importlib.util
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from ml_collections import ConfigDict

from infojax.errors import UserError
from launch import runs
from launch.settings import nearest

DIRECTORY = Path(__file__).parents[1] / "configs"


class Description(NamedTuple):
    """What the docstring of a config file says.

    Attributes:
      title: its first line.
      variants: the paragraph of each variant in its list `Variants:`.
    """

    title: str
    variants: dict[str, str]


def names() -> list[str]:
    """Returns the names of the experiments in configs/."""
    files = sorted(DIRECTORY.glob("*.py"))
    return [path.stem for path in files if "def get_config(" in path.read_text()]


def find(name: str) -> Path:
    """Returns the file that a name means.

    Args:
      name: a file, with or without `.py`, or the name of a file in configs/.

    Raises:
      UserError: there is no such file, or there are several.
    """
    if not name:
        raise UserError("--config is empty; name a config file, or leave it out")
    if Path(name).is_file():
        return Path(name)
    whole = name if name.endswith((".py", ".json")) else f"{name}.py"
    found = [path for path in (Path(whole), _of_name(whole)) if path.is_file()]
    different = {path.resolve() for path in found}
    if len(different) > 1:
        raise UserError(f"--config={name} can mean {found[0]} or {found[1]}; write one of them")
    if found:
        return found[0]
    run = Path(name, "config.json")
    if run.is_file():
        raise UserError(f"{name} is the directory of a run; use --config={run} to repeat the run")
    hint = nearest(Path(whole).stem, {known: known for known in names()})
    raise UserError(f"there is no config {name}{hint or '; python -m launch --list shows them'}")


def _of_name(whole: str) -> Path:
    """A file in configs/, relative to the current directory if inside it."""
    path = DIRECTORY / whole
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path


def load(path: Path, variant: str) -> ConfigDict:
    """Returns a variant of a config file, or what a run's `config.json` holds.

    Raises:
      UserError: the file cannot be loaded, or has no such variant.
    """
    if path.name == "config.json":
        return ConfigDict(_with_tuples(runs.read_config(path.parent)))
    if path.suffix != ".py":
        raise UserError(f"{path} is neither a config file (.py) nor a run's config.json")
    try:
        config = _module(path).get_config(variant)
    except ValueError as error:  # an unknown variant
        raise UserError(f"{path}: {_in_one_line(error)}") from error
    except Exception as error:  # whatever a config file may raise
        reason = f"{type(error).__name__}: {_in_one_line(error)}"
        raise UserError(f"{path} cannot be loaded ({reason})") from error
    if not isinstance(config, ConfigDict):
        raise UserError(f"{path}: get_config returned no ConfigDict, but {config!r:.40}")
    return config


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_file", path)
    assert spec is not None and spec.loader is not None  # as for every .py file
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise AttributeError("it has no function get_config")
    return module


def _with_tuples(content: Any) -> Any:
    """Turns lists, as JSON stores the config's tuples, back into tuples."""
    if isinstance(content, dict):
        return {name: _with_tuples(value) for name, value in content.items()}
    return tuple(map(_with_tuples, content)) if isinstance(content, list) else content


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def describe(path: Path) -> Description:
    """Reads the docstring of a config file."""
    title, *rest = (ast.get_docstring(ast.parse(path.read_text())) or path.stem).splitlines()
    after = "\n".join(rest).partition("Variants:\n")[2].partition("\n\n")[0]
    items = re.findall(r"^  ([\w-]+): (.*(?:\n    .*)*)", after, re.MULTILINE)
    return Description(title, {name: " ".join(text.split()) for name, text in items})


def comments(path: Path) -> dict[str, str]:
    """Returns the comment of each field, as in `config.seed = 0  # of the first run`.

    Settings in a dict, `"seed": 0,  # of the first run`, may have them too. A field without a
    comment takes one from the files beside this one that it imports.
    """
    found: dict[str, str] = {}
    for source in _sources(path, set()):
        found = _comments_of(source) | found
    return found


def _sources(path: Path, seen: set[Path]) -> Iterator[str]:
    """The text of a file, and of the files beside it that it imports."""
    if path in seen or path.suffix != ".py":
        return
    seen.add(path)
    source = path.read_text()
    yield source
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            for name in node.names:
                beside = path.parent / f"{name.name.rpartition('.')[2]}.py"
                if beside.is_file():
                    yield from _sources(beside, seen)


def _comments_of(source: str) -> dict[str, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    by_line = {t.start[0]: t.string.lstrip("# ") for t in tokens if t.type == tokenize.COMMENT}
    found: dict[str, str] = {}
    nodes = sorted(ast.walk(ast.parse(source)), key=lambda node: isinstance(node, ast.Dict))
    for node in nodes:
        for fields, lines in _settings(node):
            own = [by_line[line] for line in lines if line in by_line]
            for field in fields if own else ():
                found.setdefault(field, own[0])
    return found


def _settings(node: ast.AST) -> Iterator[tuple[list[str], range]]:
    """The fields that a statement or a dict sets, and the lines of each."""
    if isinstance(node, ast.Assign):
        yield _fields(node), range(node.lineno, (node.end_lineno or node.lineno) + 1)
    elif isinstance(node, ast.Dict):
        for key in node.keys:
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield [key.value], range(key.lineno, key.lineno + 1)


def _fields(node: ast.Assign) -> list[str]:
    """The fields that `config.a = ...` or `config.a, config.b = ...` sets."""
    targets = [part for target in node.targets for part in getattr(target, "elts", [target])]
    return [t.attr for t in targets if isinstance(t, ast.Attribute)]
