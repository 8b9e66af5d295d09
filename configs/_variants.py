"""Variants of a configuration: named sets of changes to its settings."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

Variants = Mapping[str, Mapping[str, Any]]  # changes of settings, by name of the variant


def apply(config: ConfigDict, variant: str, variants: Variants) -> ConfigDict:
    """Returns the config with the changes of a variant.

    Raises:
      ValueError: no such variant.
    """
    if variant not in variants:
        *others, last = variants
        raise ValueError(f"unknown variant {variant!r}; use {', '.join(others)} or {last}")
    config.update(variants[variant])
    return config
