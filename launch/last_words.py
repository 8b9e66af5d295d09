"""One line in place of the twenty with which jax ends a process when another one is lost.

jax ends it from a thread of its own, and tells Python nothing. So what C++ writes to stderr goes
through this program: a process that outlives the one that ends. What Python prints to `sys.stderr`
from then on bypasses it.
"""

import contextlib
import os
import re
import signal
import sys
import time

LOST = b"another process is lost\n"  # as Python says it
_ENDED = b"Terminating process because the JAX distributed service detected fatal errors"
_BEFORE_IT = b"coordination_service"  # a source file, in the first line of what announces it
_FIRST = re.compile(rb"[IWEF]\d{4} ")  # a message's first line
_MOST = 10  # lines of an announcement
_SECONDS = 0.2  # for this program to write before a process ends that others end with


def follow(line: str) -> None:
    """Directs file descriptor 2 through this program, if there is one.

    Args:
      line: what is said, once, when another process is lost.
    """
    try:
        past, (reader, writer) = os.dup(2), os.pipe()
    except OSError:  # stderr is closed
        return
    command = [sys.executable, "-I", "-S", __file__, line]
    try:
        actions = [(os.POSIX_SPAWN_DUP2, reader, 0)]
        os.posix_spawn(command[0], command, os.environ, file_actions=actions, setpgroup=0)
    except OSError:
        os.close(past)
    else:
        sys.stderr = os.fdopen(past, "w", 1, errors="backslashreplace", closefd=False)
        os.dup2(writer, 2)
    os.close(reader)
    os.close(writer)


def say(line: str) -> None:
    """Says that another process is lost, unless jax has been heard to say so."""
    try:
        if sys.stderr.fileno() == 2:  # nothing follows
            raise OSError
        os.write(2, LOST)
        time.sleep(_SECONDS)
    except OSError:
        print(line, file=sys.stderr)


def _pass_on(line: str) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_IGN)  # it ends when nobody can write to it any more
    held: list[bytes] = []  # what may announce the end
    said = False
    for each in sys.stdin.buffer:
        if each == LOST or _ENDED in each:
            if not said:
                _write(f"{line}\n".encode())
            held, said = [], True
        elif said:
            if _FIRST.match(each) and _BEFORE_IT not in each:  # not the stack of what ended
                _write(each)
        elif _BEFORE_IT in each or (held and not _FIRST.match(each)):
            held.append(each)
        else:
            _write(b"".join([*held, each]))
            held = []
        if len(held) > _MOST:
            _write(b"".join(held))
            held = []
    if not said:
        _write(b"".join(held))


def _write(content: bytes) -> None:
    with contextlib.suppress(OSError):  # a full disk: who writes to this program must not notice
        os.write(2, content)


if __name__ == "__main__":
    _pass_on(sys.argv[1])
