"""A real nginx, and an application behind it that keeps each request as received."""

import contextlib
import shutil
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from broker.demo.ports import free_port
from tests.support.pace import allow
from tests.support.waits import PATIENCE

_CONF = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {http}
  server {{
    listen 127.0.0.1:{port}{tls};
    {server}
  }}
}}
"""


class Application(socketserver.ThreadingTCPServer):
    """Answers 200 to everything unless ``answer`` is set, and keeps the head of each request, byte for byte.

    ``every``: the seconds before each byte of the body.
    """

    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heads: list[bytes] = []
        self.answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
        self.every = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def lines(self) -> list[bytes]:
        """The request lines that it received."""
        return [head.partition(b"\r\n")[0] for head in self.heads]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while True:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline(65536)
                if not line:
                    return
                head += line
            self.server.heads.append(head)
            for line in head.split(b"\r\n"):
                if line.lower().startswith(b"content-length:"):
                    self.rfile.read(int(line.partition(b":")[2]))
            top, gap, body = self.server.answer.partition(b"\r\n\r\n")
            self.wfile.write(top + gap)
            for piece in [bytes([byte]) for byte in body] if self.server.every else [body]:
                time.sleep(self.server.every)
                self.wfile.write(piece)


@contextlib.contextmanager
def application() -> Iterator[Application]:
    """Yield a running application."""
    with Application() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()


@dataclass
class Raw:
    """A response, read from the wire."""

    status: int
    headers: dict[str, str]
    body: bytes = field(repr=False)


@dataclass
class Nginx:
    """A running nginx."""

    port: int
    folder: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, head: bytes, body: bytes = b"") -> Raw:
        """Send a request unchanged except for an added ``Connection: close``, and read one response."""
        with socket.create_connection(("127.0.0.1", self.port), allow(10)) as wire:
            wire.sendall(head + b"Connection: close\r\n\r\n" + body)
            data = b""
            with contextlib.suppress(ConnectionResetError):
                while chunk := wire.recv(65536):
                    data += chunk
        top, _, rest = data.partition(b"\r\n\r\n")
        lines = top.decode("latin-1").split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
        status = int(lines[0].split(" ")[1]) if lines[0].startswith("HTTP/") else 0
        return Raw(status, {name.lower(): value for name, value in headers.items()}, rest)

    def get(self, line: str | bytes, token: str = "", *headers: str) -> Raw:
        """Send a request line (``GET /a``) with a token."""
        raw = line if isinstance(line, bytes) else line.encode("latin-1")
        head = raw + b" HTTP/1.1\r\n"
        if not any(name.lower().startswith("host:") for name in headers):
            head += b"Host: api.example.com\r\n"
        if token:
            head += f"Authorization: Bearer {token}\r\n".encode()
        for header in headers:
            head += header.encode("latin-1") + b"\r\n"
        return self.send(head)


@contextlib.contextmanager
def nginx(server: str, *, http: str = "", tls: bool = False, port: int | None = None) -> Iterator[Nginx]:
    """Yield a running nginx with these lines in its server block."""
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert program, "nginx is missing: .ci/bootstrap test installs it"
    port = port or free_port()
    with tempfile.TemporaryDirectory(prefix="stint-nginx-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        conf = folder / "nginx.conf"
        conf.write_text(
            _CONF.format(folder=folder, port=port, server=server, http=http, tls=" ssl" if tls else "")
        )
        log = (folder / "out.log").open("wb")
        process = subprocess.Popen(
            [program, "-p", name, "-c", str(conf), "-e", f"{name}/error.log"], stdout=log, stderr=log
        )
        try:
            _wait(port, process, folder)
            yield Nginx(port, folder)
        finally:
            process.terminate()
            process.wait(PATIENCE)
            log.close()


def _wait(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    last = time.monotonic() + allow(20)
    while time.monotonic() < last:
        assert process.poll() is None, (folder / "out.log").read_text() + (folder / "error.log").read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise AssertionError("nginx does not listen")
