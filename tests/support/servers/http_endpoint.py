"""The HTTP gateway, by requests over TLS."""

import contextlib
import datetime as dt
import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.support.pace import unhurried
from tests.support.servers.endpoints import Answer, Flood, Held, Lasting
from tests.support.servers.http_place import Place, Reply
from tests.support.servers.http_target import Target
from tests.support.servers.proxy import BlackHole
from tests.support.servers.running import RunningEndpoint
from tests.support.waits import PATIENCE, eventually


@dataclass
class Reading:
    """A request whose response is read in a thread until it ends."""

    line: ssl.SSLSocket
    text: bytes = b""
    size: int = 0
    ended_at: dt.datetime | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        # Cut without TLS close_notify, which Python reports as an error.
        with self.line, contextlib.suppress(OSError):
            while piece := self.line.recv(256 * 1024):
                self.size += len(piece)
                self.text = (self.text + piece)[-100_000:]
        # The database runs on this machine, so it has the same clock.
        self.ended_at = dt.datetime.now(dt.UTC)

    def lives(self) -> bool:
        return self.thread.is_alive()

    def said(self) -> str:
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive(), "the answer goes on"
        return self.text.decode(errors="replace")


@dataclass
class _Waiting:
    """A request that waits for another person's approval."""

    place: Place
    grant: Any
    request: str
    body: Any
    reply: Reply | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        # A gateway that is killed gives no reply.
        with contextlib.suppress(OSError, http.client.HTTPException):
            self.reply = self.place.ask(self.grant, self.request, self.body, timeout=400)

    def answer(self) -> Answer:
        self.thread.join(PATIENCE)
        assert self.reply is not None, "there is no reply"
        return answer_of(self.reply)


def answer_of(reply: Reply) -> Answer:
    return Answer(reply.status == 200, f"{reply.status} {reply.body.decode()}")


@dataclass
class HTTPEndpoint(RunningEndpoint):
    """The gateway with an application behind it."""

    place: Place
    way: BlackHole
    cluster: str = "prices"
    _before: dict[int, int] = field(default_factory=dict)

    @property
    def target(self) -> Target:
        return self.place.target

    def grant(self, **changes: Any) -> Any:
        grant = self.place.grant(**unhurried(changes))
        self._before[grant.pk] = len(self.target.requests)
        self.place.token(grant)
        return grant

    def once(self, grant: Any) -> Answer:
        return answer_of(self.place.ask(grant, "GET /prices/S-42"))

    def give_up(self, grant: Any, *, after: float) -> None:
        with contextlib.suppress(TimeoutError):
            self.place.ask(grant, "GET /prices/S-42", timeout=after)

    def outside(self, grant: Any) -> Answer:
        return answer_of(self.place.ask(grant, "GET /prices/S-41"))

    def begin(self, grant: Any, path: str, *, room: int = 0, **headers: str) -> ssl.SSLSocket:
        """Send the head of a GET, and return the connection without reading anything."""
        line = self.place.connect(timeout=60, room=room)
        headers = {"Connection": "close", **headers}
        said = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        line.sendall(
            f"GET /http/prices{path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer"
            f" {self.place.token(grant)}\r\n{said}\r\n".encode()
        )
        return line

    @contextlib.contextmanager
    def lasting(self, grant: Any, path: str = "/watch/S-42", **headers: str) -> Iterator[Lasting]:
        before = self._came(path)
        line = self.begin(grant, path, **headers)
        reading = Reading(line)
        try:
            eventually(lambda: reading.size > 0 or not reading.lives(), within=30)
            eventually(lambda: self._came(path) > before or not reading.lives(), within=30)
            assert reading.lives(), reading.text
            yield reading
        finally:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
            reading.thread.join(PATIENCE)

    @contextlib.contextmanager
    def flood(self, grant: Any, path: str = "/flood/S-42") -> Iterator[Flood]:
        # The application may not have noticed yet that the previous request has ended.
        eventually(lambda: not self.target.under_way["flood"], within=30)
        with self.begin(grant, path, room=4096):
            eventually(lambda: self.target.under_way["flood"], within=30)
            yield Flood(0, set(), lambda: self.target.under_way["flood"] > 0)

    @contextlib.contextmanager
    def held(self, grant: Any) -> Iterator[Held]:
        waiting = _Waiting(self.place, grant, "POST /prices/S-42/publish", {"note": "done"})
        try:
            eventually(lambda: grant.runs.filter(state="held").exists() or waiting.reply, within=30)
            assert waiting.reply is None, waiting.reply
            yield waiting
        finally:
            waiting.thread.join(0)

    def _came(self, path: str) -> int:
        """Return how often the target received a request for this path."""
        return sum(came.path == path for came in list(self.target.requests))

    def reached(self, grant: Any) -> int:
        return len(self.target.requests) - self._before[grant.pk]
