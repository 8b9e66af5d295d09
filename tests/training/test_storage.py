import json

import pytest

from infojax.errors import StorageError, UserError
from infojax.training import storage
from infojax.training.checkpoint import Checkpoints
from infojax.training.recorder import Recorder


def test_lines_are_appended_after_a_truncated_one(tmp_path):
    path = tmp_path / "new" / "points.jsonl"
    assert storage.read_lines(path) == []
    storage.append_line(path, {"a": 1})
    with path.open("a") as file:
        file.write('{"a": 2, "b')
    assert storage.read_lines(path) == [{"a": 1}]
    storage.append_line(path, {"a": 3})
    assert path.read_text() == '{"a": 1}\n{"a": 3}\n'


def test_json_is_replaced_atomically(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    storage.write_json(path, {"a": 1})

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(StorageError) as caught:
        storage.write_json(path, {"a": 2})
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    assert json.loads(path.read_text()) == {"a": 1}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: storage.write_json(path, {}),
        lambda path: storage.write_lines(path, []),
        lambda path: storage.append_line(path, {}),
        Checkpoints,
        lambda path: Recorder(path).resume(-1),
        lambda path: Recorder(path).write(0, {"a": 1.0}),
    ],
)
def test_errors_of_writes_name_the_path(tmp_path, write):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot write .*/file/run.*: (Not a dir|File ex)"):
        write(tmp_path / "file" / "run")


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=rf"cannot read {tmp_path}: Is a directory"):
        storage.read_lines(tmp_path)
    assert storage.read_object(tmp_path) is None


def test_json_nested_too_deeply(tmp_path):
    path = tmp_path / "lines.jsonl"
    path.write_text(f'{{"a": 1}}\n{"[" * 100_000}\n')
    with pytest.raises(UserError, match=r"line 2 of .* is damaged"):
        storage.read_lines(path)
    assert storage.read_object(path) is None
