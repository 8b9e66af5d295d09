"""What `python -m launch --list` prints: the configs, their variants and the data they need."""

import textwrap
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from infojax.data import available
from launch import config_files

_COLUMNS = 100
_NAME, ABOUT = 16, 57  # columns of a variant's name and of what it takes and shows


class Need(NamedTuple):
    """Data that a config needs.

    Attributes:
      name: what it is called in the list.
      found: whether it is on this machine.
      otherwise: what to do if it is not.
    """

    name: str
    found: bool
    otherwise: str


def text() -> str:
    """Returns the list of configs and variants."""
    lines = []
    for name in config_files.names():
        title, variants = config_files.describe(config_files.find(name))
        lines += textwrap.wrap(f"{name}: {title}", _COLUMNS, subsequent_indent="  ")
        for variant, about in variants.items():
            lines.append(_line(variant, first_sentence(about), of(_config(name, variant))))
        lines.append("")
    lines.append("python -m launch --config=NAME:VARIANT runs one; with --help, shows its fields.")
    for name, otherwise in missing().items():
        lines += textwrap.wrap(f"{name}: {otherwise}.", _COLUMNS, subsequent_indent="  ")
    return "\n".join(lines)


def missing() -> dict[str, str]:
    """Returns the data that configs need and this machine lacks, each with what to do."""
    needs = [
        of(_config(name, variant))
        for name in config_files.names()
        for variant in config_files.describe(config_files.find(name)).variants
    ]
    return {need.name: need.otherwise for need in needs if need and not need.found}


def _config(name: str, variant: str) -> ConfigDict:
    return config_files.load(config_files.find(name), variant)


def of(config: ConfigDict) -> Need | None:
    """Returns the data that a config of this repository needs; None if it needs none."""
    if "features" in config:
        files = [Path(config.data_dir, f"{name}.npz") for name in config.features]
        otherwise = (
            "INFOJAX_CROSSMODAL_DIR or --config.data_dir names the directory of their .npz files, "
            "which python -m launch.extract_features writes"
        )
        return Need("features", all(path.is_file() for path in files), otherwise)
    if "checkpoint" in config and config.checkpoint != "random":
        found = Path(config.checkpoint).is_file() and Path(config.data_dir).is_dir()
        otherwise = "--config.checkpoint names a file of CLIP weights, --config.data_dir the images"
        return Need("CLIP weights", found, otherwise)
    if "run" in config:
        run = bool(config.run) and Path(config.run, "config.json").is_file()
        return Need("a finished run", run, "--config.run names its directory")
    if "dataset" in config:
        otherwise = f"not in {available.tfds_directory()}; docs/data.md says how to get it"
        return Need(config.dataset, available.found(config.dataset, config.data_dir), otherwise)
    return None


def first_sentence(text: str) -> str:
    """Returns the first sentence of a paragraph, without its full stop.

    >>> first_sentence("6 minutes; eight epochs. Test accuracy 0.83.")
    '6 minutes; eight epochs'
    """
    return text.partition(". ")[0].removesuffix(".")


def _line(variant: str, about: str, need: Need | None) -> str:
    data = "no data" if need is None else f"{need.name}: {'found' if need.found else 'MISSING'}"
    return f"  {variant:{_NAME}} {textwrap.shorten(about, ABOUT):{ABOUT}} {data}"
