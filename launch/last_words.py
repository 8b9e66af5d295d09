"""One line in place of the twenty with which jax ends a process when another one is lost.

jax ends it from a thread of its own, and tells Python nothing. So what C++ writes to stderr goes
through this program: a process that outlives the one that ends. Python writes past it.
"""

import os
import re
import signal
import subprocess
import sys

LOST = b"another process is lost\n"  # as Python says it
_ENDED = b"Terminating process because the JAX distributed service detected fatal errors"
_BEFORE_IT = b"coordination_service"  # a source file, in the first line of what announces it
_FIRST = re.compile(rb"[IWEF]\d{4} ")  # a message's first line


def follow(line: str) -> None:
    """Directs file descriptor 2 through this program; `sys.stderr` stays where it was.

    Args:
      line: what is said, once, when another process is lost.
    """
    reader, writer = os.pipe()
    subprocess.Popen([sys.executable, "-I", "-S", __file__, line], stdin=reader)
    os.close(reader)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(2), "w", 1, errors="backslashreplace")
    os.dup2(writer, 2)
    os.close(writer)


def _pass_on(line: str) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # it ends when nobody can write to it any more
    held = b""  # what may announce the end
    for each in sys.stdin.buffer:
        if each == LOST or _ENDED in each:
            held = line.encode() + b"\n"
            sys.stdin.buffer.read()  # what follows would repeat it
        elif _BEFORE_IT in each or (held and not _FIRST.match(each)):
            held += each
        else:
            os.write(2, held + each)
            held = b""
    os.write(2, held)


if __name__ == "__main__":
    _pass_on(sys.argv[1])
