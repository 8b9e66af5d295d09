"""Several devices: a mesh of the two that the tests have, and eight in another process."""

import os
import subprocess
import sys

import jax


def mesh(axis_name="batch"):
    return jax.make_mesh((2,), (axis_name,), axis_types=(jax.sharding.AxisType.Auto,))


def run_on_eight(check):
    """Calls a function of a test module in a new process with eight devices."""
    code = f"import jax, {check.__module__} as tests; assert jax.device_count() == 8; "
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=8")
    run = subprocess.run(
        [sys.executable, "-c", f"{code} tests.{check.__name__}()"],
        env=os.environ | {"XLA_FLAGS": flags, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
