"""A ticket API behind a real nginx, which authorizes every request with Stint."""

from __future__ import annotations

import contextlib
import http.server
import json
import secrets
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from broker.demo.ports import free_port
from sessions_app.connectors.http.snippets import Site, snippet

TARGET = "tickets"
_HOST = "127.0.0.1"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
_START_S = 10.0
_CONF = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port};
{server}
  }}
}}
"""


class NoNginx(RuntimeError):
    """nginx can't be run. The message gives the reason."""


def usable_nginx() -> str:
    """Return the path of nginx. Raises NoNginx."""
    found = shutil.which("nginx", path=_PATH)
    if found is None:
        raise NoNginx("nginx was not found. Install Debian's `nginx-light`.")
    return found


class _Tickets(http.server.BaseHTTPRequestHandler):
    """A handler that returns any ticket without authentication."""

    def do_GET(self) -> None:
        body = json.dumps({"ticket": self.path.rpartition("/")[2], "text": "The printer is on fire"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        """Log nothing, because the demo prints each step."""


class TicketsApi:
    """The API and its nginx, as a context manager. ``stint`` is the URL of Stint's pages."""

    def __init__(self, folder: Path, stint: str) -> None:
        self._folder = folder
        self._stint = stint
        self._nginx = usable_nginx()
        self._stack = contextlib.ExitStack()
        self.proxy_key = secrets.token_urlsafe(32)
        self.port = free_port()

    @property
    def url(self) -> str:
        """The URL of the API."""
        return f"http://{_HOST}:{self.port}"

    def __enter__(self) -> Self:
        """Start the API and nginx."""
        with self._stack:
            application = http.server.ThreadingHTTPServer((_HOST, 0), _Tickets)
            self._stack.callback(application.server_close)
            threading.Thread(target=application.serve_forever, daemon=True).start()
            self._stack.callback(application.shutdown)
            self._start_nginx(application.server_address[1])
            self._stack = self._stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the API and nginx."""
        self._stack.close()

    def _start_nginx(self, upstream: int) -> None:
        self._folder.mkdir(mode=0o711)
        site = Site(
            target=TARGET,
            origin=self.url,
            upstream=f"http://{_HOST}:{upstream}",
            stint=self._stint,
            base_path="/tickets/",
            proxy_key=self.proxy_key,
        )
        conf = self._folder / "nginx.conf"
        conf.write_text(
            _CONF.format(folder=self._folder, host=_HOST, port=self.port, server=snippet("nginx", site)),
            encoding="utf-8",
        )
        # The file contains the proxy key. nginx reads it before it drops its privileges.
        conf.chmod(0o600)
        running = subprocess.Popen(
            [self._nginx, "-p", str(self._folder), "-c", str(conf), "-e", str(self._folder / "error.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._stack.callback(_end, running)
        self._wait(running)

    def _wait(self, running: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and running.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((_HOST, self.port), 1):
                return
            time.sleep(0.02)
        log = self._folder / "error.log"
        said = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
        raise NoNginx(f"nginx did not start. Its output:\n{said[-2000:]}")


def _end(running: subprocess.Popen[bytes]) -> None:
    running.terminate()
    try:
        running.wait(5)
    except subprocess.TimeoutExpired:
        running.kill()
        running.wait()
