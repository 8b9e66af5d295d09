"""The limit on data sets in memory: each device holds all images of a split as uint8."""

import os

import jax

from infojax.errors import UserError


def limit() -> int:
    """Returns the bytes that the images of a split may take: half of a device's memory.

    On the CPU, this process's devices share the machine's memory.
    """
    statistics = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in statistics:
        return int(statistics["bytes_limit"]) // 2
    return machine() // (2 * jax.local_device_count())


def machine() -> int:
    """Returns the bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check(name: str, size: int) -> None:
    """Raises UserError if images of this many bytes exceed the limit."""
    most = limit()
    if size > most:
        raise UserError(
            f"{name}: the images take {_gib(size)}, more than half of a device's memory "
            f"({_gib(most)}); use fewer or smaller images (image_size resizes files), or read them "
            "batch by batch (--config.stream=True)"
        )


def check_host(name: str, size: int) -> None:
    """Raises UserError if arrays to be streamed exceed half of this machine's memory."""
    most = machine() // 2
    if size > most:
        raise UserError(
            f"{name}: the images take {_gib(size)}, more than half of this machine's memory "
            f"({_gib(most)}); stream them from a directory of image files"
        )


def _gib(size: int) -> str:
    return f"{size / 2**30:.3g} GiB"
