"""The settings of a run: a config whose missing fields are errors that the user can fix."""

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from ml_collections import ConfigDict

from infojax.errors import UserError


class MissingField(UserError, AttributeError, KeyError):  # noqa: N818 - a kind of AttributeError
    """An experiment asked for a field that its config lacks."""

    def __str__(self) -> str:
        return str(self.args[0])  # a KeyError prints a repr


class Settings(ConfigDict):
    """A resolved config; a missing field raises `MissingField`."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[name]

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            needed_by = f", which {self.experiment} needs" if "experiment" in self else ""
            raise MissingField(f"the config has no field {name!r}{needed_by}")
        return super().__getitem__(name)

    def __delitem__(self, name: str) -> None:
        self[name]  # a missing field is named
        super().__delitem__(name)


def copied(config: ConfigDict) -> Settings:
    """Returns the settings of a config, its fields in the order in which they were written."""
    settings = Settings()
    for name in json.loads(config.to_json()):  # iteration would sort them
        settings[name] = config[name]
    return settings.lock()


def derived(config: ConfigDict, without: Iterable[str], **changes: Any) -> ConfigDict:
    """Returns a copy of a config without some of its fields, and with changes to others."""
    copy = config.copy_and_resolve_references()
    with copy.unlocked():
        for name in without:
            del copy[name]
    with copy.unlocked():
        copy.update(changes)
    return copy


def check_at_least(config: ConfigDict, limits: dict[str, Any]) -> None:
    """Raises UserError for the first field that is not a number, or is below its limit."""
    for name, limit in limits.items():
        if not (_is_number(config[name]) and config[name] >= limit):
            raise UserError(f"{name} must be at least {limit}, got {config[name]!r}")


def check_below_one(config: ConfigDict, *names: str) -> None:
    """Raises UserError for the first field outside [0, 1)."""
    for name in names:
        if not (_is_number(config[name]) and 0 <= config[name] < 1):
            raise UserError(f"{name} must lie in [0, 1), got {config[name]!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_choice(config: ConfigDict, name: str, choices: Any) -> None:
    """Raises UserError unless a field holds one of the choices."""
    if config[name] not in tuple(choices):
        *others, last = map(str, choices)
        known = f"{', '.join(others)} or {last}" if others else last
        raise UserError(f"{name} = {config[name]!r} is unknown; use {known}")


def nearest(name: str, known: Mapping[str, str]) -> str:
    """Returns a hint, "; did you mean A?", for a mistyped name.

    Args:
      name: what was typed.
      known: names, and how the user writes each of them.

    Returns:
      The hint with the closest one or two names; "" if none is close.
    """
    close = [name] if name in known else difflib.get_close_matches(name, list(known), n=2)
    return f"; did you mean {' or '.join(known[n] for n in close)}?" if close else ""
