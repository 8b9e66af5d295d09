"""The ledger of a study: appended, resumed, and read after a crash."""

import json

import pytest

from infojax.errors import UserError
from launch.ledger import FILE, Ledger, read_points

FIELDS = ("model", "shots")
KEYS = [("small", None), ("small", 1), ("small", 2), ("large", None), ("large", 1)]


@pytest.fixture
def interrupted(tmp_path):
    """Finished out of order: the last and the first point."""
    with Ledger(tmp_path, FIELDS, KEYS, ("shots",)) as book:
        assert (book.points, book.missing) == ([], KEYS)
        book.append(("large", 1), {"accuracy": 0.9}, {"shots": 1})
        book.append(("small", None), {"accuracy": 0.5})
        assert book.missing == KEYS[1:4]
    return tmp_path


def test_points_are_lines_in_order_of_writing(interrupted):
    lines = (interrupted / FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"model": "large", "shots": 1, "accuracy": 0.9},
        {"model": "small", "shots": None, "accuracy": 0.5},
    ]
    assert read_points(interrupted) == [json.loads(line) for line in lines]


def test_resumed_with_the_points_that_are_missing(interrupted):
    """In the order of the keys; None is a value like any other."""
    before = (interrupted / FILE).read_bytes()
    with Ledger(interrupted, FIELDS, KEYS) as book:
        assert book.points == read_points(interrupted)
        assert book.missing == KEYS[1:4]
        for key in list(book.missing):
            book.append(key, {"accuracy": 0.0})
        assert book.missing == []
        assert book.points == read_points(interrupted)
    assert (interrupted / FILE).read_bytes().startswith(before)
    assert [(p["model"], p["shots"]) for p in read_points(interrupted)[2:]] == KEYS[1:4]


def test_each_line_is_written_at_once(tmp_path):
    """A crash after a point loses nothing of it."""
    with Ledger(tmp_path, FIELDS, KEYS) as book:
        for i, key in enumerate(KEYS, 1):
            book.append(key, {})
            assert len(read_points(tmp_path)) == i
        with pytest.raises(ValueError, match="shorter"):
            book.append(("small",), {})
    assert len(read_points(tmp_path)) == len(KEYS)


def test_a_line_truncated_by_a_crash_is_measured_again(interrupted):
    path = interrupted / FILE
    path.write_bytes(path.read_bytes()[:-20])
    assert [p["model"] for p in read_points(interrupted)] == ["large"]
    with Ledger(interrupted, FIELDS, KEYS) as book:
        assert book.missing == KEYS[:4]
        book.append(("small", None), {"accuracy": 0.6})
    assert [p["accuracy"] for p in read_points(interrupted)] == [0.9, 0.6]


def test_points_of_other_keys_are_kept(interrupted):
    """As after a restart with fewer points."""
    with Ledger(interrupted, FIELDS, KEYS[:2]) as book:
        assert book.missing == KEYS[1:2]
        assert len(book.points) == 2


def test_damaged_and_missing_ledgers(interrupted, tmp_path):
    path = interrupted / FILE
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first[5:] + second)
    for read in (lambda: Ledger(interrupted, FIELDS, KEYS), lambda: read_points(interrupted)):
        with pytest.raises(UserError, match=rf"line 1 of .*{FILE} is damaged"):
            read()
    with pytest.raises(UserError, match=rf"holds no finished point yet: {FILE} is missing"):
        read_points(tmp_path / "other")
