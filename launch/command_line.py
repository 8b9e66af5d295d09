"""The command line of `python -m launch`: a config with overrides, a work directory, help."""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import jax
from absl import flags
from ml_collections import ConfigDict, config_flags

from infojax.errors import UserError
from launch import config_files, forms, help_text, listing
from launch.settings import Settings, copied, nearest

_DEFAULT_CONFIG = "grokking"
_CONFIG = ("--config", "-config")
_LIST = ("--list", "-list")
_SEE = "see python -m launch --help"


class Command(NamedTuple):
    """What to run.

    Attributes:
      config: with overrides applied.
      workdir: where the run is kept.
      wandb: project of W&B to which records are copied; None: they are not.
    """

    config: Settings
    workdir: Path
    wandb: str | None


def parse(argv: list[str]) -> Command:
    """Returns what a command line asks for; exits after printing help or the list of configs.

    Raises:
      UserError: an argument is unknown or invalid.
    """
    name, arguments = _split(argv[1:])
    if any(argument.partition("=")[0] in _LIST for argument in arguments):
        print(listing.text())
        sys.exit(0)
    path, variant = _file_and_variant(_DEFAULT_CONFIG if name is None else name)
    config = config_files.load(path, variant)
    _check_overrides(config, arguments)
    default = config.copy_and_resolve_references()
    values, rest = _flags(config, [argv[0], *arguments])
    if values.help:
        print(help_text.usage())
        print(help_text.of_config(path, variant, values.config) if name else help_text.MORE)
        sys.exit(0)
    if rest:
        raise UserError(f"unexpected argument {rest[0]!r}; {_instead_of(rest[0])}")
    if values.workdir == "":
        raise UserError("--workdir is empty; name a directory, or leave it out")
    if values.workdir and "://" in values.workdir:
        raise UserError(f"--workdir={values.workdir} must be a directory of this machine")
    forms.check(values.config, default)
    settings = copied(values.config)
    workdir = Path(values.workdir or Path("runs", settings.experiment)).expanduser()
    if set("[\\") & set(str(workdir.absolute())) and not workdir.exists():  # see Checkpoints
        raise UserError(f"--workdir={workdir}: its path must not hold [ or \\")
    return Command(settings, workdir, values.wandb)


def _split(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The value of --config, and the other arguments."""
    name, others = None, []
    remaining = iter(arguments)
    for argument in remaining:
        flag, equals, value = argument.partition("=")
        if flag not in _CONFIG:
            others.append(argument)
        elif (name := value if equals else next(remaining, None)) is None:
            raise UserError(f"--config needs a value; {_SEE}")
    return name, others


def _file_and_variant(name: str) -> tuple[Path, str]:
    base, colon, variant = name.partition(":")
    path = config_files.find(base)
    if colon and path.suffix == ".json":
        raise UserError(f"{path} is one run's config, without variants; leave out :{variant}")
    default = "cpu" if jax.default_backend() == "cpu" else "paper"
    return path, variant if colon else default


def _flags(config: ConfigDict, arguments: list[str]) -> tuple[flags.FlagValues, list[str]]:
    """The flags with their values, and what follows them; overrides are applied to the config."""
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=arguments)
        flags.DEFINE_string("workdir", None, "where the run is kept", flag_values=values)
        flags.DEFINE_string("wandb", None, "project of W&B", flag_values=values)
        flags.DEFINE_boolean("help", False, "shows help", short_name="h", flag_values=values)
        return values, values(arguments)[1:]
    except flags.UnrecognizedFlagError as error:
        hint = _nearest_flag(error.flagname, config)
        raise UserError(f"unknown flag --{error.flagname}{hint or f'; {_SEE}'}") from error
    except Exception as error:  # ml_collections raises many kinds
        raise UserError(f"{' '.join(str(error).split()):.200}; {_SEE}") from error


def _nearest_flag(name: str, config: ConfigDict) -> str:
    known = {flag: f"--{flag}" for flag in help_text.FLAGS}
    return nearest(name, known | {f: f"--config.{f}" for f in config})


def _check_overrides(config: ConfigDict, arguments: list[str]) -> None:
    """Raises UserError for the first override of a field that the config lacks."""
    for argument in arguments:
        if override := re.match(r"--?(?:no)?config\.([^=]+)", argument):
            _check_field(config, override[1])


def _check_field(config: ConfigDict, path: str) -> None:
    value, before = config, ""
    for name in path.split("."):
        field = name.partition("[")[0]
        if not isinstance(value, ConfigDict):
            raise UserError(f"the field {before[:-1]} = {value!r} has no fields of its own")
        if field not in value:
            known = {f: f"--config.{before}{f}" for f in value}
            hint = nearest(field, known) or "; --help with --config lists them"
            raise UserError(f"the config has no field {before + field!r}{hint}")
        value, before = value[field], f"{before}{field}."


def _instead_of(argument: str) -> str:
    try:
        config_files.find(argument.partition(":")[0])
    except UserError:
        return _SEE
    return f"did you mean --config={argument}?"
