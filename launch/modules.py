"""The modules of experiments, found by name.

A name without dots is a module of `launch.experiments`; a name with dots is any module that Python
can import.
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
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and not f"{path}.".startswith(f"{error.name}."):
            raise  # the experiment exists, but something it imports does not
        raise UserError(f"{field} = {name!r} is unknown: there is no module {path}") from error
    except (TypeError, ValueError) as error:  # of names that are empty or begin with a dot
        raise UserError(f"{field} = {name!r} is not the name of a module") from error
    missing = [attribute for attribute in needed if not hasattr(module, attribute)]
    if missing:
        raise UserError(f"{field} = {name!r} cannot be run: {path} has no {', '.join(missing)}")
    return module
