"""Checks that a built wheel contains only infojax and works with its dependencies alone."""

import subprocess
import sys
import zipfile
from pathlib import Path

_SCRIPT = """
import importlib.metadata
import sys
import infojax
import jax.numpy as jnp

etf = infojax.collapse.simplex_etf(10, 16)
value = float(infojax.mir(infojax.gram(etf), infojax.gram(etf)))
assert abs(value - infojax.collapse.mir_at_collapse(10)) < 1e-5, value
assert "flax" not in sys.modules
assert importlib.metadata.version("infojax") == infojax.__version__
"""


def main(directory: Path) -> None:
    """Raises unless the only wheel in a directory passes the checks."""
    (wheel,) = directory.glob("*.whl")
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    unexpected = {top for top in tops if top != "infojax" and not top.endswith(".dist-info")}
    assert not unexpected, f"the wheel also contains {unexpected}"
    python = (directory / "env" / "bin" / "python").absolute()
    subprocess.run([python, "-W", "error", "-c", _SCRIPT], check=True, cwd=directory)
    print(f"{wheel.name}: ok")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
