"""Fixtures of the command line."""

import pytest

from launch import __main__ as launch, compilations
from tests.launch.launcher import ROOT, Launcher, begun


@pytest.fixture(scope="module")
def launcher(tmp_path_factory):
    return Launcher(tmp_path_factory.mktemp("launcher"))


@pytest.fixture
def main(tmp_path, monkeypatch, capsys):
    """`launch.main` in the root directory: returns exit code and lines of stderr.

    On stdout it prints nothing but what runs where.
    """
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(compilations, "keep", lambda: None)

    def call(*arguments, default_workdir=True, checked_stdout=True):
        extra = [f"--workdir={tmp_path / 'run'}"] if default_workdir else []
        code = launch.main(["launch", *arguments, *extra])
        out, err = capsys.readouterr()
        assert not checked_stdout or out in ("", begun(tmp_path / "run"))
        return code, err.splitlines()

    return call
