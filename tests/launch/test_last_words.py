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
    b"detected fatal errors. This most likely\nAdditional GRPC error information from "
    b"coordination_service\n*** Check failure stack trace: ***\n" + 20 * b"    @ 0x7f\n"
)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (b"", b""),
        (WARNING, WARNING),
        (b"no newline", b"no newline"),
        (WARNING + ANNOUNCED + ENDED, WARNING + b"lost\n"),
        (ANNOUNCED + last_words.LOST + ENDED, b"lost\n"),
        (ENDED + ENDED, b"lost\n"),
        (ENDED + WARNING, b"lost\n" + WARNING.splitlines(keepends=True)[0]),
        (ANNOUNCED, ANNOUNCED),
        (ANNOUNCED + 30 * b"printed\n", ANNOUNCED + 30 * b"printed\n"),
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


def _python(code, *options):
    command = [sys.executable, *options, "-c", f"import os, sys, time\n{code}"]
    return subprocess.run(command, capture_output=True, text=True)


FOLLOWED = "from launch import last_words\nlast_words.follow('launch: lost')\n"


def test_what_python_writes_goes_past_it():
    """After the line, which silences what is written to the file descriptor."""
    code = FOLLOWED + "last_words.say('launch: lost')\nos.write(2, b'more')\n"
    done = _python(code + "print('Python', file=sys.stderr)\nos._exit(1)", "-W", "error")
    assert (done.returncode, done.stderr.splitlines()) == (1, ["launch: lost", "Python"])


def test_without_it():
    """Where nothing follows, Python says the line itself."""
    done = _python("from launch import last_words\nlast_words.say('launch: lost')")
    assert (done.returncode, done.stderr) == (0, "launch: lost\n")


def test_a_closed_stderr():
    done = _python("os.close(2)\n" + FOLLOWED + "print('goes on')", "-W", "error")
    assert (done.returncode, done.stdout) == (0, "goes on\n")
