"""The cache of arrays, and the command that empties it."""

import os
from pathlib import Path

import numpy as np
import pytest

from infojax.data import cache
from infojax.errors import UserError
from launch import cache as command


class Reader:
    """Something to read: one file, and how often it was read."""

    def __init__(self, directory):
        self.path, self.count = directory / "content", 0
        self.path.write_text("1")

    def reading(self, name="own", options=""):
        return cache.Reading(name, [self.path], options, self._read)

    def _read(self):
        self.count += 1
        return {"x": np.array([int(self.path.read_text()), self.count])}


@pytest.fixture
def reader(tmp_path):
    return Reader(tmp_path)


def test_content_decides(reader, tmp_path):
    fetch = lambda **which: cache.fetch(reader.reading(**which), tmp_path / "c")["x"].tolist()  # noqa: E731
    assert [fetch(), fetch()] == [[1, 1], [1, 1]]
    assert fetch(options="other") == [1, 2] and fetch(name="more") == [1, 3]
    assert fetch() == [1, 1] and len(list((tmp_path / "c").iterdir())) == 3
    stat = reader.path.stat()
    reader.path.write_text("2")
    os.utime(reader.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # of the same size
    assert fetch() == [2, 4] and fetch() == [2, 4]
    reader.path.write_text("22")
    os.utime(reader.path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))  # at the same time
    assert fetch() == [22, 5]
    assert len(list((tmp_path / "c").iterdir())) == 3  # outdated files are gone


def test_nothing_to_follow_is_not_cached(tmp_path):
    reading = cache.Reading("own", [], "", lambda: {"x": np.ones(1)})
    assert cache.fetch(reading, tmp_path / "c")["x"] == 1 and not (tmp_path / "c").exists()


def test_a_missing_file(reader, tmp_path):
    reader.path.unlink()
    with pytest.raises(UserError, match="content cannot be read: No such file"):
        cache.fetch(reader.reading(), tmp_path / "c")


@pytest.mark.parametrize("keep", [0, 30, -30])
def test_a_damaged_file_is_replaced(reader, tmp_path, keep):
    cache.fetch(reader.reading(), tmp_path / "c")
    (path,) = (tmp_path / "c").iterdir()
    whole = path.read_bytes()
    path.write_bytes(whole[:keep])
    assert cache.fetch(reader.reading(), tmp_path / "c")["x"].tolist() == [1, 2]
    assert cache.fetch(reader.reading(), tmp_path / "c")["x"].tolist() == [1, 2]


def test_a_cache_that_cannot_be_written(reader, tmp_path, monkeypatch):
    """It is skipped, and leaves no partial file."""

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.np, "savez", full)
    assert cache.fetch(reader.reading(), tmp_path / "c")["x"].tolist() == [1, 1]
    assert not list((tmp_path / "c").iterdir())


def test_other_processes_are_silent(reader, tmp_path, monkeypatch, capsys):
    for index, lines in ((0, 0), (0, 1), (1, 0)):
        monkeypatch.setattr(cache.jax, "process_index", lambda index=index: index)
        cache.fetch(reader.reading(), tmp_path / "c")
        assert len(capsys.readouterr().err.splitlines()) == lines


def test_command(reader, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    where = cache.directory()
    assert where == tmp_path / "home" / "infojax" / "data" and cache.clear() == 0
    cache.fetch(reader.reading())
    (path,) = where.iterdir()
    size = path.stat().st_size
    (where / "left.partial").write_bytes(bytes(2**20))
    (where / "notes.txt").write_text("not ours")
    assert command.main([]) == 0
    assert capsys.readouterr().out == f"{where}: 2 files, {(size + 2**20) / 2**20:.1f} MiB\n"
    assert command.main(["--clear"]) == 0
    assert capsys.readouterr().out == f"{where}: {(size + 2**20) / 2**20:.1f} MiB freed\n"
    assert [p.name for p in where.iterdir()] == ["notes.txt"]
    cache.fetch(reader.reading())
    assert reader.count == 2 and cache.clear() == size


def test_default_directory(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.directory() == Path.home() / ".cache" / "infojax" / "data"
