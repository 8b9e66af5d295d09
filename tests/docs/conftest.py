"""The documentation site, built as `make docs` builds it, behind a server on this machine."""

import functools
import http.server
import subprocess
import sys
import threading

import pytest

from tests.launch.launcher import ROOT


@pytest.fixture(scope="session")
def site():
    """The directory of the built site."""
    place = ROOT / "build" / "docs"
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q"]
    command += ["-d", place / "doctrees", ROOT / "docs", place / "html"]
    built = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    return place / "html"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served."""
    handler = functools.partial(_Quiet, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()
