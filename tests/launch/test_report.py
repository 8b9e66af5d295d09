"""`python -m launch.report`, and the report at the end of every run."""

import pytest

from launch import __main__ as launch, report, reports
from tests.launch.reports.conftest import make_run as make_run


def test_where_it_is_written(make_run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    one, two = make_run("one"), make_run("two")
    for arguments, path in (
        ([str(one)], one / "report.html"),
        ([str(one), "--out=here/it.html"], tmp_path / "here" / "it.html"),
        ([str(one), str(two)], tmp_path / "report.html"),
    ):
        assert report.main(arguments) == 0
        assert (tmp_path / capsys.readouterr().out.strip()).samefile(path)
        assert path.read_text().startswith("<!DOCTYPE html>")


def test_errors_are_one_line(make_run, tmp_path, capsys):
    run = make_run("one")
    (tmp_path / "file").write_text("")
    for arguments, words in (
        ([str(tmp_path / "none")], "none is not a run: it has no config.json"),
        ([str(run), f"--out={tmp_path / 'file' / 'x.html'}"], "cannot write"),
        ([str(run), f"--out={run}"], "cannot write"),
    ):
        assert report.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("launch.report: ") and words in line


@pytest.mark.parametrize("error", [OSError("no room"), KeyError("step"), RecursionError()])
def test_a_report_that_cannot_be_drawn_costs_no_run(monkeypatch, tmp_path, capsys, error):
    def fail(*arguments):
        raise error

    monkeypatch.setattr(reports, "draw", fail)
    launch._report(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert "the run is complete" in line and f"python -m launch.report {tmp_path}" in line
