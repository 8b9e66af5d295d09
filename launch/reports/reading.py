"""What a report reads from a run's directory."""

from pathlib import Path
from typing import Any, NamedTuple

from infojax.errors import UserError
from infojax.training import storage
from launch import ledger, workdir as workdirs
from launch.ledger import Point
from launch.runs import Run, load_run
from launch.thinning import thinned


class Content(NamedTuple):
    """A run's directory.

    Attributes:
      run: config and records, thinned.
      summary: summary.json; {} before the end.
      starts: environment of every start, the newest last.
      points: of a study, as in points.jsonl.
      evaluation: evaluation.json; {} if the run was not evaluated.
    """

    run: Run
    summary: dict[str, Any]
    starts: list[dict[str, Any]]
    points: list[Point]
    evaluation: dict[str, Any]


def read(paths: list[Path]) -> list[Content]:
    """Reads runs; those of the same name are told apart by their paths.

    Raises:
      UserError: a directory is not a run, or a file in it is damaged.
    """
    found = [_read(path) for path in paths]
    if len({content.run.name for content in found}) < len(found):
        named = zip(found, paths, strict=True)
        found = [c._replace(run=c.run._replace(name=str(path))) for c, path in named]
    return found


def _read(path: Path) -> Content:
    return Content(
        thinned(load_run(path)),
        _object(path / "summary.json"),
        [start for start in workdirs.starts(path) if isinstance(start, dict)],
        storage.read_lines(path / ledger.FILE),
        _object(path / "evaluation.json"),
    )


def _object(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found = storage.read_object(path)
    if found is None:
        raise UserError(f"{path} is damaged: it holds no JSON object; run the same command again")
    return found
