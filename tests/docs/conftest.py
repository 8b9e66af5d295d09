"""The documentation site, as `make docs` built it, behind a server on this machine."""

import functools
import http.server
import threading

import pytest

from tests.launch.launcher import ROOT


@pytest.fixture(scope="session")
def site():
    """The directory of the built site."""
    place = ROOT / "build" / "docs" / "html"
    if not (place / "index.html").exists():
        pytest.skip("there is no site: make docs builds it")
    return place


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
