"""Command lines drawn at random, run in this process up to where training would begin."""

import contextlib
import functools
import importlib
import io
import tempfile
from pathlib import Path

import pytest
from hypothesis import strategies as st

from infojax import training
from infojax.data import images
from infojax.models import classifier
from launch import __main__ as launch, compilations, config_files, workdir as workdirs
from launch.experiments import crossmodal, prompt_learning
from tests.launch.launcher import ROOT

INTEGERS = (-(2**70), -(2**31), -1, 0, 1, 2, 3, 7, 10, 64, 2**20, 2**31 - 1, 2**31, 2**63, 10**30)
FLOATS = ("nan", "inf", "-inf", "-1", "-0.0", "0", "1e-320", "0.5", "1", "1.5", "1e30", "1e39")
TEXTS = (
    *("", " ", ".", "..", "/", "../../x", "/etc/passwd", "a/b", "a:b", "None", "True", "5"),
    *("digits", "supervised", "grokking", "sweep", "os", "os.path", "x" * 300, "é", "\0", "\ud800"),
    *("a\nb", "random", "test/accuracy", "train", "mlp", "vit", "(", "((1,)", "{}", "[1]", "%s"),
)
"""What may stand between the parentheses of a tuple."""
ELEMENTS = (
    *("1", "2", "16", "-1", "0", "0.5", "1.0", "nan", "1e999", "True", "None", "'a'", "b'a'"),
    *("10**9", "99999999999999999999", "()", "(1,)", "(0.5,)", "('a',)", "[1]", "{1}", "{}", "1j"),
)


class Accepted(BaseException):
    """Training would begin."""


def accept(*_, **__):
    raise Accepted


@contextlib.contextmanager
def untrained():
    """Context in which a run ends with `Accepted` once its settings and data are checked."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(compilations, "keep", lambda: None)
        patch.setattr(workdirs, "_git", lambda *_: None)
        patch.setattr(images, "load", functools.cache(images.load))
        for place, name in (
            *((training, "fit"), (training, "fit_ensemble"), (classifier, "of_linen")),
            *((crossmodal, "train_point"), (prompt_learning, "build")),
        ):
            patch.setattr(place, name, accept)
        yield


def run(arguments):
    """Runs a command line; returns its exit code (None if accepted), stderr, and what is left."""
    out, err = io.StringIO(), io.StringIO()
    with tempfile.TemporaryDirectory() as directory:
        code, streams = None, (contextlib.redirect_stdout(out), contextlib.redirect_stderr(err))
        with streams[0], streams[1], contextlib.suppress(Accepted):
            code = launch.main(["launch", *arguments, f"--workdir={directory}/run"])
        return code, err.getvalue(), sorted(Path(directory).rglob("*"))


def check(arguments):
    """A command line is accepted, or refused in one line that leaves nothing behind."""
    code, err, left = run(arguments)
    if code is None:
        return
    lines = err.splitlines()
    assert (code, len(lines), left) == (2, 1, []), (arguments, code, err, left)
    assert lines[0].startswith("launch: ") and len(lines[0]) < 1000, (arguments, err)


@functools.cache
def configs():
    """The smoke variants of every config, with the names of their fields and defaults."""
    found = []
    for name in config_files.names():
        variants = config_files.describe(config_files.find(name)).variants
        module = importlib.import_module(f"configs.{name}")
        for variant in variants:
            if "smoke" in variant:
                config = module.get_config(variant)
                found.append((f"{name}:{variant}", dict(config.items())))
    return found


def _values(default):
    """Texts for a field: mostly of its kind."""
    tuples = st.lists(st.sampled_from(ELEMENTS), max_size=3).map(lambda x: f"({', '.join(x)},)")
    anything = st.one_of(
        st.sampled_from(INTEGERS).map(str), st.sampled_from(FLOATS), st.sampled_from(TEXTS), tuples
    )
    match default:
        case bool():
            own = st.sampled_from(("True", "False", "1", "2", ""))
        case int():
            own = st.one_of(st.sampled_from(INTEGERS), st.integers(-5, 300)).map(str)
        case float():
            own = st.one_of(st.sampled_from(FLOATS), st.floats().map(str))
        case str():
            own = st.one_of(st.sampled_from(TEXTS), st.text(max_size=8))
        case _:
            rows = st.lists(tuples, max_size=3).map(lambda x: f"({', '.join(x)},)")
            own = st.one_of(tuples, rows)
    return st.one_of(own, own, own, anything)


@st.composite
def command_lines(draw):
    """A config, and overrides of one to three of its fields."""
    name, fields = draw(st.sampled_from(configs()))
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), min_size=1, max_size=3, unique=True))
    overrides = [f"--config.{field}={draw(_values(fields[field]))}" for field in chosen]
    return [f"--config={name}", *overrides]
