"""Forms of settings: which values a setting may take, whatever it means.

Flags let through values that no experiment can use: `nan`, numbers beyond 64 bits, sets, a text
where a tuple was mistyped. The experiment checks what values mean. Values from the config file
itself are taken as they are.
"""

import math
from typing import Any

from ml_collections import ConfigDict

from infojax.errors import UserError

_LARGEST = 2**31  # sizes, counts and seeds are 32-bit integers on devices
_LARGEST_FLOAT = 3e38  # of float32
_LONGEST, _LONGEST_PART = 4096, 255  # bytes of a path, and of a name in it
# Beyond these, a run would exhaust memory or never begin; far more than any needs.
_MOST = {
    **dict.fromkeys(("depth", "mlp_depth", "vit_depth"), 1_000),
    "num_groups": 8,
    **dict.fromkeys(("first_stride", "image_size", "vit_patch"), 8_192),
    **dict.fromkeys(("width", "mlp_width", "vit_width", "adapter_width"), 2**16),
    **dict.fromkeys(("d_model", "d_mlp", "num_heads", "vit_heads"), 2**16),
    **dict.fromkeys(("batch_size", "eval_batch_size", "information_batch_size"), 2**20),
    **dict.fromkeys(("num_seeds", "num_omegas", "grokfast_window", "chance_permutations"), 10_000),
}
_EVALUATIONS = 10**6


def check(config: ConfigDict, default: ConfigDict, before: str = "") -> None:
    """Raises UserError for the first setting that does not have the form of its default.

    Args:
      config: with overrides.
      default: the same fields without overrides.
      before: prefix of field names in messages, for a config within another.
    """
    for name in default:
        value, like = config[name], default[name]
        if isinstance(like, ConfigDict) and isinstance(value, ConfigDict):
            check(value, like, f"{before}{name}.")
        elif not _unchanged(value, like) and (wrong := problem(value, like)):
            raise UserError(f"{before}{name} {wrong}")
    check_amounts(config)


def _unchanged(value: Any, like: Any) -> bool:
    if type(value) is not type(like):
        return False
    try:
        return bool(value == like or (value != value and like != like))
    except ValueError:  # of arrays
        return False


def check_amounts(config: ConfigDict) -> None:
    """Raises UserError for the first amount that no machine can handle.

    Experiments of other packages may give these names other meanings.
    """
    if "experiment" in config and "." in str(config.experiment):
        return
    for name, most in _MOST.items():
        if name in config and isinstance(config[name], int) and config[name] > most:
            raise UserError(f"{name} must be at most {most}, got {config[name]}")
    if "seed" in config and "num_seeds" in config and config.seed + config.num_seeds > _LARGEST:
        raise UserError(f"seed + num_seeds must be at most 2^31, got seed = {config.seed}")
    both = [config[name] for name in ("num_steps", "eval_every") if name in config]
    if len(both) == 2 and all(isinstance(x, int) for x in both):
        evaluations = both[0] // max(both[1], 1)
        if evaluations > _EVALUATIONS:
            raise UserError(
                f"num_steps / eval_every must be at most {_EVALUATIONS} evaluations, got "
                f"{evaluations}"
            )


def problem(value: Any, like: Any) -> str:
    """Returns what is wrong with a value, for a message; "" if nothing is.

    Args:
      value: of a setting.
      like: a value of the right form. Integers may stand for floats, anything for None.
    """
    if isinstance(like, tuple):
        return _of_tuple(value, like)
    if wrong := _plain(value):
        return wrong
    fits = like is None or _kind(value) == _kind(like)
    if fits or (_kind(value), _kind(like)) == ("an integer", "a number"):
        return ""
    return f"must be {_kind(like)}, such as {_shown(like)}; got {_shown(value)}"


def _of_tuple(value: Any, like: tuple[Any, ...]) -> str:
    example = f", such as {_shown(like)}" * bool(like)
    if not isinstance(value, tuple):
        return f"must be a tuple{example}; got {_shown(value)}"
    kinds = {_kind(x) for x in like}
    for x in value:
        if wrong := _plain(x):
            return wrong
        if like and not kinds & {_kind(x), "a number" if _kind(x) == "an integer" else ""}:
            return f"must hold {' or '.join(sorted(kinds))}{example}; got {_shown(x)}"
    return ""


def _plain(value: Any) -> str:
    """What is wrong with a value that must fit JSON and 32 bits; "" if nothing is."""
    match value:
        case tuple():
            return next(filter(None, map(_plain, value)), "")
        case bool():
            return ""
        case int() if abs(value) >= _LARGEST:
            return f"must lie between -2^31 and 2^31, got {_shown(value)}"
        case float() if not math.isfinite(value):
            return f"must be finite, got {value}"
        case float() if abs(value) > _LARGEST_FLOAT:
            return f"must fit 32 bits, got {value}"
        case str() if not _is_text(value):
            return f"must be a line of text or a path, got {_shown(value)}"
        case int() | float() | str():
            return ""
    return f"must be numbers, text or tuples of them; got {_shown(value)}"


def _is_text(value: str) -> bool:
    bad = any(c < " " or "\x7f" <= c <= "\x9f" or "\ud800" <= c <= "\udfff" for c in value)
    if bad or len(value.splitlines()) > 1 or len(value.encode()) > _LONGEST:
        return False
    return all(len(part.encode()) <= _LONGEST_PART for part in value.split("/"))


def _kind(value: Any) -> str:
    match value:
        case bool():
            return "True or False"
        case int():
            return "an integer"
        case float():
            return "a number"
        case str():
            return "a text"
        case tuple():
            return "a tuple"
    return "nothing"


def _shown(value: Any) -> str:
    try:
        text = ascii(value) if isinstance(value, str) else repr(value)
    except ValueError:  # an integer of more digits than Python prints
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:50]}..."
