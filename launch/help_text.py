"""What `python -m launch --help` prints."""

import json
import textwrap
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from launch import config_files, distributed

FLAGS = (
    *("config", "workdir", "wandb", "list", "help"),
    *("coordinator", "num_processes", "process_id"),
)
MORE = "--help with --config=CONFIG shows the fields of that config."
_COLUMNS = 100
_LONGEST_SETTING = 40  # beside a comment
_USAGE = f"""\
python -m launch --config=CONFIG[:VARIANT] [--config.FIELD=VALUE ...] [--workdir=DIR]

  --config=CONFIG       a name in configs/ (cifar10:smoke), a file (configs/cifar10.py:smoke), or
                        RUN/config.json, which repeats a run. Without :VARIANT, cpu where there is
                        no accelerator, else paper. Without --config: grokking
  --config.FIELD=VALUE  changes a field of the config
  --workdir=DIR         where the run is kept, and resumed from; without it, runs/EXPERIMENT
  --wandb=PROJECT       copies the records to a project of Weights & Biases
  --list                the configs and variants: time, what they show, data
  --help                this text; with --config, the fields of the config too

one of several processes: {distributed.USAGE}
versions, devices, data and speed: python -m launch.doctor
"""


def usage() -> str:
    """Returns how `python -m launch` is used."""
    return _USAGE


def of_config(path: Path, variant: str, config: ConfigDict) -> str:
    """Returns what a config is for, and its fields with their values and comments."""
    head = f"{path}\n"
    if path.suffix == ".py":
        title, variants = config_files.describe(path)
        head = f"{path}:{variant}\n" + _filled(title, "  ")
        head += _filled(variants[variant], "  ") if variant in variants else ""
    about = config_files.comments(path)
    names = json.loads(config.to_json())  # in the order in which they were written
    texts = [_setting(f"{name} = {_value(config[name])}", about.get(name, "")) for name in names]
    return head + "\n" + "".join(texts).rstrip("\n")


def _value(value: Any) -> str:
    return repr(value.to_dict() if isinstance(value, ConfigDict) else value)


def _setting(setting: str, comment: str) -> str:
    """A line of a setting with its comment beside it, or below a long setting."""
    lines = textwrap.wrap(setting, _COLUMNS, initial_indent="  ", subsequent_indent="    ")
    indent = " " * (_LONGEST_SETTING + 2)
    about = textwrap.wrap(comment, _COLUMNS - len(indent))
    if about and lines == lines[:1] and len(lines[0]) <= _LONGEST_SETTING:
        lines[0] = f"{lines[0]:{len(indent)}}{about.pop(0)}"
    return "".join(f"{line}\n" for line in (*lines, *(indent + line for line in about)))


def _filled(text: str, indent: str) -> str:
    lines = textwrap.wrap(text, _COLUMNS, initial_indent=indent, subsequent_indent=indent + "  ")
    return "".join(f"{line}\n" for line in lines)
