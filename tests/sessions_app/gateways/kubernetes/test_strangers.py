"""Requests with unknown tokens, however many, delay nobody who has a valid one."""

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
    """Send requests with unknown tokens from three addresses until the block ends, once they have had
    answers.
    """
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
    # Everything that the first use of a token creates is created before.
    place.token(new)
    with flooded(place.port, "/kubernetes/prod/api"):
        for grant in (known, known, known, new, new):
            began = time.monotonic()
            assert place.ask(grant, "GET", "/api")[0] == 200
            took = time.monotonic() - began
            assert took < allow(1)
