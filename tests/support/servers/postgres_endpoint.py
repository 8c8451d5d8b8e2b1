"""The PostgreSQL gateway, by a program that uses libpq."""

import contextlib
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg

from tests.support.servers.endpoints import Answer, Flood, Held, Lasting
from tests.support.servers.gateway import connections_at, new_tag
from tests.support.servers.postgres_place import Place
from tests.support.servers.proxy import BlackHole
from tests.support.servers.running import RunningEndpoint
from tests.support.waits import PATIENCE, eventually


@dataclass
class Client:
    """A statement in a thread, on a connection of its own. ``got`` is its outcome."""

    place: Place
    grant: Any
    statement: str
    got: Answer | None = None
    connection: psycopg.Connection[Any] | None = None
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            with self.place.connect(self.grant) as self.connection:
                self.got = Answer(True, str(self.connection.execute(self.statement).statusmessage))
        except psycopg.Error as error:
            self.got = Answer(False, str(error))

    def leave(self) -> None:
        """Disconnect without a word, as a program does that is killed."""
        if self.connection is not None and not self.connection.closed:
            with socket.socket(fileno=os.dup(self.connection.fileno())) as line, contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        self.thread.join(PATIENCE)

    def lives(self) -> bool:
        return self.thread.is_alive()

    def answer(self) -> Answer:
        self.thread.join(PATIENCE)
        assert self.got is not None, "it still runs"
        return self.got

    def said(self) -> str:
        return self.answer().text


@dataclass
class PostgresEndpoint(RunningEndpoint):
    """The gateway with a shop behind it."""

    place: Place
    way: BlackHole
    cluster: str = "shop"

    def grant(self, **changes: Any) -> Any:
        return self.place.grant(**changes)

    def once(self, grant: Any) -> Answer:
        return Client(self.place, grant, "UPDATE orders SET status = 'paid' WHERE id = 1").answer()

    def outside(self, grant: Any) -> Answer:
        return Client(self.place, grant, "UPDATE orders SET status = 'gone' WHERE id = 1").answer()

    def give_up(self, grant: Any, *, after: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.place.psql(grant, "-c", "UPDATE orders SET status = 'paid' WHERE id = 1", timeout=after)

    @contextlib.contextmanager
    def lasting(self, grant: Any) -> Iterator[Lasting]:
        client = Client(self.place, grant, f"SELECT app.wait({new_tag()})")
        try:
            eventually(lambda: self.place.active(grant) or not client.lives(), within=30)
            assert client.lives(), client.got
            yield client
        finally:
            client.leave()

    @contextlib.contextmanager
    def flood(self, grant: Any) -> Iterator[Flood]:
        before = connections_at(self.place.port)
        connection = self.place.connect(grant)
        try:
            connection.pgconn.send_query(b"SELECT id, text FROM many")
            eventually(lambda: self.place.active(grant), within=30)
            yield Flood(self.place.port, before, lambda: bool(self.place.active(grant)))
        finally:
            connection.pgconn.finish()

    @contextlib.contextmanager
    def held(self, grant: Any) -> Iterator[Held]:
        waiting = Client(self.place, grant, "UPDATE orders SET note = 'late' WHERE id = 2")
        try:
            eventually(lambda: grant.runs.filter(state="held").exists() or not waiting.lives())
            assert waiting.lives(), waiting.got
            yield waiting
        finally:
            waiting.leave()

    def reached(self, grant: Any) -> int:
        return int(
            self.place.shop.one("SELECT count(*) FROM app.seen WHERE who = %s", self.place.role(grant))
        )  # type: ignore[call-overload]
