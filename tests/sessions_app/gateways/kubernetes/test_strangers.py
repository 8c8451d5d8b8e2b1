"""Strangers, however many requests they send, hold up nobody who has a token."""

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from tests.support.pace import allow
from tests.support.servers import flood

SOURCES = ("127.0.0.2", "127.0.0.3", "127.0.0.4")


@contextlib.contextmanager
def flooded(port: int, path: str) -> Iterator[None]:
    """Let three addresses ask with unknown tokens until the block ends; they were answered, and go on."""
    words = [sys.executable, flood.__file__, str(port), path, *SOURCES]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        assert asking.stdout.readline() == "floods\n"
        yield
        out, _ = asking.communicate("", timeout=allow(20))
        assert int(out) > 10, out


def test_a_flood_of_unknown_tokens_delays_no_token_that_is_known(place):
    known, new = place.grant(), place.grant()
    assert place.ask(known, "GET", "/api")[0] == 200
    # Whatever is made for the first use of a token is made before.
    place.token(new)
    with flooded(place.port, "/kubernetes/prod/api"):
        for grant in (known, known, known, new, new):
            began = time.monotonic()
            assert place.ask(grant, "GET", "/api")[0] == 200
            took = time.monotonic() - began
            assert took < allow(1)
