"""Variants of a configuration: named sets of changes to its settings."""

import difflib
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

Variants = Mapping[str, Mapping[str, Any]]  # changes of settings, by name of the variant


def apply(config: ConfigDict, variant: str, variants: Variants) -> ConfigDict:
    """Returns the config with a variant's changes applied.

    Raises:
      ValueError: no such variant.
    """
    if variant not in variants:
        *others, last = variants
        close = difflib.get_close_matches(variant, list(variants), n=1)
        hint = f"did you mean {close[0]}? The variants are" if close else "use"
        raise ValueError(f"unknown variant {variant!r}; {hint} {', '.join(others)} or {last}")
    config.update(variants[variant])
    return config
