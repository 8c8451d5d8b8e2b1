"""A small HTTP server that answers with what a function returns."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.support.waits import ends


class Asked(NamedTuple):
    """A client's request."""

    method: str
    path: str
    headers: Message
    body: bytes


# The status, headers and body; None closes the connection without a response.
Answer = tuple[int, dict[str, str], bytes] | None


@contextlib.contextmanager
def answering(
    answer: Callable[[Asked], Answer], *, certificate: tuple[str, str] | None = None
) -> Iterator[int]:
    """Serve on a port of loopback until the block ends, over TLS given a certificate and key.

    Yields the port.
    """

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            found = answer(Asked(self.command, self.path, self.headers, body))
            if found is None:
                return
            status, headers, said = found
            self.send_response(status)
            for name, value in {"Content-Length": str(len(said)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(said)

        do_GET = do_POST = answer  # noqa: N815  # http.server's names

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        ends(thread)
