"""Test settings: two CPU devices, one BLAS thread, strict dtypes and ranks."""

import atexit
import os
import shutil
import tempfile
from importlib import metadata

if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # shared by all test processes
    _cache = tempfile.mkdtemp(prefix="infojax-tests-")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _cache
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    atexit.register(shutil.rmtree, _cache, ignore_errors=True)
# OpenBLAS threads of several devices starve each other. tests/portability.py sets both variables.
os.environ["OPENBLAS_NUM_THREADS"] = os.environ.get("INFOJAX_TEST_BLAS_THREADS", "1")
os.environ["JAX_PLATFORMS"] = "cpu"
# Programs are compiled quickly rather than well; tests/portability.py compiles them as users do.
os.environ["XLA_FLAGS"] = " ".join(
    [
        "--xla_force_host_platform_device_count=2",
        "--xla_backend_optimization_level=0",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
        # A quarter of the time of compilation; other versions do not know the flag.
        "--xla_cpu_use_fusion_emitters=false" * metadata.version("jaxlib").startswith("0.10."),
        os.environ.get("INFOJAX_TEST_XLA_FLAGS", ""),
    ]
)

import jax
import pytest

from tests.browser import browser as browser

collect_ignore = [  # need torch
    "models/make_clip_fixture.py",
    "models/make_wide_resnet_fixture.py",
]

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture(scope="module", autouse=True)
def _compiled_programs_of_one_module():
    """Frees a module's compiled programs: together they exceed Linux's limit on mappings."""
    yield
    jax.clear_caches()


@pytest.fixture
def x64():
    """Runs a test with float64 enabled."""
    with jax.enable_x64(True):
        yield
