"""What C++ writes to stderr in one of several processes: passed on, or one line."""

import subprocess
import sys

import pytest

from launch import last_words

WARNING = b"W1130 21:19:26.1 7 cpu.cc:9] Something else.\nIts second line.\n"
ANNOUNCED = (
    b"E1130 21:19:26.7 1 coordination_service_agent.cc:289] Polled an error.\nThe tasks: 2\n"
)
ENDED = (
    b"F1130 21:19:26.7 1 client.h:80] Terminating process because the JAX distributed service "
    b"detected fatal errors. This most likely\n*** Check failure stack trace: ***\n    @ 0x7f\n"
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"", b""),
        (WARNING, WARNING),
        (b"no newline", b"no newline"),
        (WARNING + ANNOUNCED + ENDED, WARNING + b"lost\n"),
        (ANNOUNCED + last_words.LOST + ENDED, b"lost\n"),
        (ENDED + ENDED + WARNING, b"lost\n"),
        (ANNOUNCED, ANNOUNCED),
        (ANNOUNCED + WARNING, ANNOUNCED + WARNING),
    ],
)
def test_passed_on_or_one_line(written, expected):
    done = subprocess.run(
        [sys.executable, "-I", "-S", last_words.__file__, "lost"],
        input=written,
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b"", expected)


def test_what_python_writes_goes_past_it():
    code = "import os, sys; from launch import last_words as l; l.follow('lost'); "
    code += "print('Python', file=sys.stderr); os.write(2, l.LOST); os._exit(1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, sorted(done.stderr.splitlines())) == (1, ["Python", "lost"])
