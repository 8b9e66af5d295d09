"""Reading ahead in worker threads."""

import sys
import threading
import time

import pytest

from infojax.data import streaming
from infojax.errors import UserError


def test_elements_in_order_from_any_start_computed_by_other_threads():
    read = lambda t: (t, threading.current_thread().name)  # noqa: E731
    whole = list(streaming.ahead(read, 3, 40))
    assert [t for t, _ in whole] == list(range(3, 40))
    assert threading.current_thread().name not in {name for _, name in whole}
    assert [t for t, _ in streaming.ahead(read, 30, 40)] == list(range(30, 40))
    assert not list(streaming.ahead(read, 5, 5))


def test_elements_are_read_before_they_are_asked_for():
    started = []

    def read(t):
        started.append(t)
        return t

    elements = streaming.ahead(read, 0, 1000)
    next(elements)
    until = time.monotonic() + 10
    while len(started) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    assert 3 <= len(started) < 1000


def test_errors_arrive_at_their_element():
    def read(t):
        if t == 2:
            raise UserError("image 2 is broken")
        return t

    elements = streaming.ahead(read, 0, 10)
    assert [next(elements), next(elements)] == [0, 1]
    with pytest.raises(UserError) as caught:
        next(elements)
    assert str(caught.value) == "image 2 is broken"


def test_without_grain(monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(UserError, match=r"pip install 'infojax\[stream\]'"):
        streaming.ahead(abs, 0, 1)
