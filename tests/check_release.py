"""Checks a release: wheel and source distribution in clean environments, CITATION.cff.

python tests/check_release.py [--oldest=PYTHON] [--newest=PYTHON]

On the oldest supported Python every dependency has its lower bound of pyproject.toml, on the newest
its newest version. Both run the tests of the mathematics and two experiments against the installed
wheel. Interpreters are looked for on the path and among pyenv's.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACE = ROOT / "build" / "release"
EXTRAS = ("experiments", "clip", "hub", "stream", "wandb")
OLDEST, NEWEST = "3.11", "3.13"
TESTS = ("spectrum", "information", "collapse", "losses", "neural_collapse", "masks")
EXPERIMENTS = ("grokking:smoke", "cifar10:smoke")


def lower_bounds(extras: tuple[str, ...] = EXTRAS) -> list[str]:
    """The dependencies of pyproject.toml, each at the oldest version that it allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = [r for extra in extras for r in project["optional-dependencies"][extra]]
    found = []
    for requirement in (*project["dependencies"], *optional):
        bound, _, marker = requirement.partition(";")
        pinned = bound.strip().replace(">=", "==")
        found.append(f"{pinned};{marker}" if marker else pinned)
    return found


def interpreter(version: str) -> str:
    """A Python of a version, such as 3.11.

    Raises:
      SystemExit: there is none.
    """
    found = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    python = str(found[-1]) if found else shutil.which(f"python{version}")
    if python is None:
        option = "--oldest" if version == OLDEST else "--newest"
        sys.exit(f"no Python {version} found; name one with {option}=PATH")
    return python


def run(*command: str | Path, cwd: Path = PLACE) -> None:
    """Runs a command; ends with its exit code if it fails."""
    print("+", *command, flush=True)
    # jax 0.10.0 writes kilobytes for every program that it reads from its cache.
    done = subprocess.run(command, cwd=cwd, env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    if done.returncode:
        sys.exit(done.returncode)


def environment(name: str, python: str, *requirements: str) -> Path:
    """Makes a clean environment; returns its Python."""
    run(python, "-m", "venv", name)
    made = PLACE / name / "bin" / "python"
    run(made, "-m", "pip", "install", "--quiet", *requirements)
    return made


def check(name: str, python: str, wheel: Path, *pins: str) -> Path:
    """Runs tests and experiments against the wheel in an environment of its own.

    Args:
      name: of the environment.
      python: the interpreter to make it with.
      wheel: what is tested.
      *pins: versions of dependencies.

    Returns:
      The environment's Python.
    """
    made = environment(name, python, f"{wheel}[{','.join(EXTRAS)}]", "pytest", "hypothesis", *pins)
    place = PLACE / f"{name}-tests"
    for part in ("tests", "launch", "configs"):  # but not infojax
        shutil.copytree(ROOT / part, place / part)
    run(made, "-c", f"import infojax as i; assert '{name}' in i.__file__, i.__file__", cwd=place)
    run(made, "-m", "pytest", "-q", *(f"tests/test_{test}.py" for test in TESTS), cwd=place)
    for config in EXPERIMENTS:
        arguments = f"--config={config}", f"--workdir={config.partition(':')[0]}"
        run(made, "-m", "launch", *arguments, cwd=place)
    return made


def main(argv: list[str] | None = None) -> None:
    """Raises SystemExit unless everything passes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--oldest", metavar="PYTHON", help=f"a Python {OLDEST}")
    parser.add_argument("--newest", metavar="PYTHON", help=f"a Python {NEWEST}")
    chosen = parser.parse_args(argv)
    oldest, newest = chosen.oldest or interpreter(OLDEST), chosen.newest or interpreter(NEWEST)
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir(parents=True)
    run(sys.executable, "-m", "build", "--quiet", "--outdir", PLACE, ROOT)
    (wheel,), (source,) = PLACE.glob("*.whl"), PLACE.glob("*.tar.gz")
    check("oldest", oldest, wheel, *lower_bounds())
    made = check("newest", newest, wheel)
    run(made, "-m", "pip", "install", "--quiet", "--force-reinstall", "--no-deps", source)
    version = re.search(r"infojax-(.+)\.tar\.gz", source.name)[1]
    run(made, "-c", f"import infojax; assert infojax.__version__ == '{version}'")
    # It pins an old jsonschema, so it has an environment of its own.
    citation = environment("citation", newest, "cffconvert>=2.0", "setuptools<81")
    run(citation.parent / "cffconvert", "--validate", "-i", ROOT / "CITATION.cff")
    print("release: ok")


if __name__ == "__main__":
    main()
