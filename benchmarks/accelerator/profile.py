"""What a profile of jax holds: the most expensive operations of the device."""

from collections import Counter
from pathlib import Path
from typing import Any

_MOST = 20  # operations listed


def summary(directory: Path) -> dict[str, Any]:
    """Sums the times of a profile's operations by name.

    Args:
      directory: that `jax.profiler.trace` wrote to; the newest profile counts.

    Returns:
      `busy_seconds` of the device; `kernels`: the most expensive, as name, seconds and count;
      `bytes` of the profile.

    Raises:
      RuntimeError: the profile holds no time of the device.
    """
    from jax.profiler import ProfileData

    newest = max(directory.rglob("*.xplane.pb"), key=lambda path: path.stat().st_mtime)
    planes = list(ProfileData.from_file(str(newest)).planes)
    devices = [plane for plane in planes if plane.name.startswith("/device:")]
    seconds: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for plane in devices or planes:
        lines = list(plane.lines)
        streams = [line for line in lines if line.name.startswith("Stream")]
        for line in streams or lines:  # others hold the same time again, by operation or module
            for event in line.events:
                seconds[event.name] += event.duration_ns * 1e-9
                counts[event.name] += 1
    if not seconds:
        raise RuntimeError("the profile holds no operation of the device")
    kernels = [[name, value, counts[name]] for name, value in seconds.most_common(_MOST)]
    size = newest.stat().st_size
    return {"busy_seconds": sum(seconds.values()), "kernels": kernels, "bytes": size}
