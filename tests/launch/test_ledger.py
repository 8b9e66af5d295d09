"""The ledger of a study: appended, resumed, and read after a crash."""

import json

import pytest

from infojax.errors import UserError
from launch.ledger import FILE, Ledger, read_points

FIELDS = ("model", "shots")
KEYS = [("small", None), ("small", 1), ("small", 2), ("large", None), ("large", 1)]


@pytest.fixture
def interrupted(tmp_path):
    """Only the last and the first point are finished, in this order."""
    with Ledger(tmp_path, FIELDS, KEYS, ("shots",)) as book:
        assert (book.points, book.missing) == ([], KEYS)
        book.append(("large", 1), {"accuracy": 0.9}, {"shots": 1})
        book.append(("small", None), {"accuracy": 0.5})
        assert book.missing == KEYS[1:4]
    return tmp_path


def test_points_are_lines_in_order_of_writing(interrupted):
    expected = [
        {"model": "large", "shots": 1, "accuracy": 0.9},
        {"model": "small", "shots": None, "accuracy": 0.5},
    ]
    lines = (interrupted / FILE).read_text().splitlines()
    assert [json.loads(line) for line in lines] == read_points(interrupted) == expected


def test_resumed_with_the_points_that_are_missing(interrupted):
    """In the order of the keys, of which None is a valid value; each line is written at once."""
    finished = read_points(interrupted)
    with Ledger(interrupted, FIELDS, KEYS) as book:
        assert (book.points, book.missing) == (finished, KEYS[1:4])
        for i, key in enumerate(list(book.missing), 3):
            book.append(key, {"accuracy": 0.0})
            assert read_points(interrupted) == book.points and len(book.points) == i
        assert book.missing == []
    points = read_points(interrupted)
    assert points[:2] == finished
    assert [(p["model"], p["shots"]) for p in points[2:]] == KEYS[1:4]
    with Ledger(interrupted, FIELDS, KEYS[:2]) as book:  # a study of fewer points
        assert (book.points, book.missing) == (points, [])


def test_a_line_truncated_by_a_crash_is_measured_again(interrupted):
    path = interrupted / FILE
    path.write_bytes(path.read_bytes()[:-20])
    assert [p["model"] for p in read_points(interrupted)] == ["large"]
    with Ledger(interrupted, FIELDS, KEYS) as book:
        assert book.missing == KEYS[:4]
        book.append(("small", None), {"accuracy": 0.6})
    assert [p["accuracy"] for p in read_points(interrupted)] == [0.9, 0.6]


def test_damaged_and_missing_ledgers(interrupted, tmp_path):
    path = interrupted / FILE
    first, second = path.read_text().splitlines(keepends=True)
    path.write_text(first[5:] + second)
    for read in (lambda: Ledger(interrupted, FIELDS, KEYS), lambda: read_points(interrupted)):
        with pytest.raises(UserError, match=rf"line 1 of .*{FILE} is damaged"):
            read()
    with pytest.raises(UserError, match=rf"holds no finished point yet: {FILE} is missing"):
        read_points(tmp_path / "other")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": 1}', "it has no model"),
        ('{"model": "small"}', "it has no shots"),
        ('{"model": ["small"], "shots": 1}', "it has no model"),
        ('{"model": "large", "shots": 1}', "it repeats a point"),
    ],
)
def test_a_line_of_another_form_is_named(interrupted, line, reason):
    with (interrupted / FILE).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(UserError, match=rf"line 3 of .*{FILE} is damaged \({reason}\)"):
        Ledger(interrupted, FIELDS, KEYS)
