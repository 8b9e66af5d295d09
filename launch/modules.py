"""Modules that a config names: of experiments, and of the user's models.

The name of an experiment without dots is a module of `launch.experiments`; any other is a module
that Python can import.
"""

import importlib
from typing import Any

from infojax.errors import UserError


def find(name: str, field: str, needed: tuple[str, ...]) -> Any:
    """Imports the module of an experiment.

    Args:
      name: of the experiment.
      field: of the config that holds the name.
      needed: names that the module must have.

    Raises:
      UserError: there is no such module, or it lacks a name.
    """
    path = name if "." in name else f"launch.experiments.{name}"
    module = imported(path, f"{field} = {name!r}")
    missing = [attribute for attribute in needed if not hasattr(module, attribute)]
    if missing:
        raise UserError(f"{field} = {name!r} cannot be run: {path} has no {', '.join(missing)}")
    return module


def imported(path: str, setting: str) -> Any:
    """Imports the module at a dotted path that a setting, such as `model = 'a.b:c'`, asks for.

    Raises:
      UserError: there is no such module. Errors raised within it pass through.
    """
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and not f"{path}.".startswith(f"{error.name}."):
            raise  # the module exists, but something it imports does not
        raise UserError(f"{setting} is unknown: there is no module {path}") from error
    except (TypeError, ValueError) as error:  # of names that are empty or begin with a dot
        raise UserError(f"{setting} is not the name of a module") from error
