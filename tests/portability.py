"""Runs the tests of the mathematics under the kernels of other processors.

python tests/portability.py [--quick]

Rounding differs between processors: OpenBLAS picks a kernel by OPENBLAS_CORETYPE and splits sums
by its threads, XLA compiles for --xla_cpu_max_isa, and fuses as its optimisations allow. A test
that fails in one of the settings depends on the last bit. `--quick` runs one file in the three
settings that differ most.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[1]
OTHERS = ("test_configs.py", "test_docs.py", "test_notebooks.py")  # not the mathematics
FILES = (
    *("tests/population", "tests/methods", "infojax"),
    *(str(path) for path in sorted(ROOT.glob("tests/test_*.py")) if path.name not in OTHERS),
)
QUICK = ("tests/test_information.py",)
PARALLEL = ("--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile")
# Processes that share a cache may meet an entry that another is writing; they compile it then.
HALF_WRITTEN = ("-W", "ignore:Error reading persistent compilation cache entry:UserWarning")
# As users compile, unlike the other tests.
OPTIMISED = (
    "--xla_backend_optimization_level=3 --xla_llvm_disable_expensive_passes=false "
    "--xla_cpu_parallel_codegen_split_count=32 "
) + "--xla_cpu_use_fusion_emitters=true" * metadata.version("jaxlib").startswith("0.10.")
KERNELS = ("Haswell", "SkylakeX", "Zen", "Sandybridge")
SETTINGS = {
    **{f"OpenBLAS {kernel}": {"OPENBLAS_CORETYPE": kernel} for kernel in KERNELS},
    "4 BLAS threads": {"INFOJAX_TEST_BLAS_THREADS": "4"},
    "XLA optimised": {"INFOJAX_TEST_XLA_FLAGS": OPTIMISED},
    **{
        f"XLA {isa}": {"INFOJAX_TEST_XLA_FLAGS": f"--xla_cpu_max_isa={isa}"}
        for isa in ("AVX2", "SSE4_2")
    },
}
MOST_DIFFERENT = ("OpenBLAS Sandybridge", "XLA optimised", "XLA SSE4_2")
# XLA cannot compile float16 without F16C: "Symbols not found: __extendhfsf2".
SELECTED = {"XLA SSE4_2": "not half and not float16 and not f2 and not fuzz"}


def supported() -> dict[str, dict[str, str]]:
    """The settings that this processor can run."""
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if platform.machine() != "x86_64":
        return {}
    return {name: x for name, x in SETTINGS.items() if "SkylakeX" not in name or "avx512f" in flags}


def main(argv: list[str] | None = None) -> int:
    """Runs every setting; returns 1 if a test failed in one of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one file, three settings")
    quick = parser.parse_args(argv).quick
    settings = supported()
    names = [name for name in settings if not quick or name in MOST_DIFFERENT]
    failed = []
    cache = tempfile.TemporaryDirectory()  # jax's keys hold XLA's flags; BLAS is not compiled
    compiled = {
        "JAX_COMPILATION_CACHE_DIR": cache.name,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    }
    for name in names:
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
        command += QUICK if quick else (*FILES, *PARALLEL, *HALF_WRITTEN)
        command += ["-k", SELECTED[name]] if name in SELECTED else []
        environment = os.environ | settings[name] | compiled
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        print(f"{name}: {done.stdout.strip().splitlines()[-1]}", flush=True)
        if done.returncode:
            failed.append(name)
            print(
                f"exit code {done.returncode}\n{done.stdout[-3000:]}{done.stderr[-1000:]}",
                flush=True,
            )
    cache.cleanup()
    print(f"{len(names) - len(failed)} of {len(names)} settings passed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
