"""The gateway against clients that speak the protocol badly, or to harm."""

import contextlib
import socket
import ssl
import struct
from collections.abc import Iterator

import pytest

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.scram import PLAIN, Client

pytestmark = pytest.mark.processes

GSS = wire.ssl_request()[:4] + wire.GSS_REQUEST.to_bytes(4, "big")


class Line:
    """A connection that sends and reads bytes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.buffer = sock, b""

    def next(self) -> tuple[bytes, bytes]:
        """Return the next message; an empty type once the gateway has closed the connection."""
        while len(self.buffer) < 5 or len(self.buffer) < self._length():
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                if piece := self.sock.recv(65536):
                    self.buffer += piece
                    continue
            return b"", self.buffer
        whole, self.buffer = self.buffer[: self._length()], self.buffer[self._length() :]
        return whole[:1], whole[5:]

    def _length(self) -> int:
        return 1 + int.from_bytes(self.buffer[1:5], "big")

    def error(self) -> dict[str, str]:
        """Return the fields of the next error."""
        while True:
            kind, content = self.next()
            if kind == b"E":
                return wire.read_error(content)
            assert kind, "it was closed without an error"

    def until_ready(self) -> list[bytes]:
        """Return the types of the messages up to ReadyForQuery."""
        found = []
        last = b""
        while (kind := (got := self.next())[0]) != b"Z":
            assert kind, (found, last)
            found.append(kind)
            last = got[1]
        return found


@contextlib.contextmanager
def plain(place) -> Iterator[Line]:
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as sock:
        yield Line(sock)


@contextlib.contextmanager
def encrypted(place, *, direct: bool = False, alpn: tuple[str, ...] = ("postgresql",)) -> Iterator[Line]:
    context = ssl.create_default_context(cafile=str(place.authority))
    context.set_alpn_protocols(alpn)
    with plain(place) as line:
        if not direct:
            line.sock.sendall(wire.ssl_request())
            assert line.sock.recv(1) == b"S"
        with context.wrap_socket(line.sock, server_hostname="localhost") as sock:
            yield Line(sock)


@pytest.fixture
def grant(place):
    return place.grant()


def log_in(line: Line, place, grant) -> None:
    values = place.tokens[grant.pk]
    line.sock.sendall(wire.startup({"user": grant.ref, "database": "shop"}))
    assert PLAIN.encode() in line.next()[1]
    login = Client(values["Password"])
    first = login.first()
    line.sock.sendall(wire.message(b"p", wire.string(PLAIN), struct.pack("!I", len(first)), first))
    line.sock.sendall(wire.message(b"p", login.final(line.next()[1][4:])))
    login.check(line.next()[1][4:])
    assert set(line.until_ready()) == {b"R", b"S", b"K"}


@contextlib.contextmanager
def logged_in(place, grant) -> Iterator[Line]:
    with encrypted(place) as line:
        log_in(line, place, grant)
        yield line


def test_clients_may_start_with_tls_if_they_name_the_protocol(place, grant):
    with encrypted(place, direct=True) as line:
        log_in(line, place, grant)
        line.sock.sendall(wire.message(b"Q", wire.string("SELECT id FROM orders WHERE id = 1")))
        assert line.until_ready() == [b"T", b"D", b"C"]
    with encrypted(place, direct=True, alpn=("http/1.1",)) as line:
        assert line.next() == (b"", b"")


def test_gssapi_is_answered_no_and_text_in_the_clear_is_refused(place):
    with plain(place) as line:
        line.sock.sendall(GSS)
        assert line.sock.recv(1) == b"N"
        line.sock.sendall(wire.startup({"user": "x"}))
        assert "requires TLS" in line.error()["M"]
        assert line.next()[0] == b""


def test_what_is_sent_in_the_clear_before_tls_is_never_read_as_if_it_was_encrypted(place):
    with plain(place) as line:
        line.sock.sendall(wire.ssl_request() + wire.startup({"user": "x"}))
        assert line.sock.recv(1) == b"S"
        # No handshake: a TLS alert at most, and then the end.
        rest = b""
        with contextlib.suppress(ConnectionError):
            while piece := line.sock.recv(1000):
                rest += piece
        assert b"SCRAM" not in rest


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\x08\0\0\0\0",
        GSS * 3,
        wire.cancel(b"\0" * 8),
        wire.cancel(b"\0" * 40),
    ],
)
def test_other_protocols_and_unknown_keys_get_nothing(place, first):
    with plain(place) as line:
        line.sock.sendall(first)
        said = b""
        with contextlib.suppress(ConnectionError):
            while piece := line.sock.recv(1000):
                said += piece
        assert b"SCRAM" not in said


@pytest.mark.parametrize(
    "first",
    [
        struct.pack("!I", 10_001),
        struct.pack("!I", 2**31),
        struct.pack("!II", 8, 3 << 16) + b"",
        wire.startup({"user": "x"})[:-1] + b"x\0",
    ],
)
def test_a_startup_that_is_too_long_or_cut_off_ends_the_connection(place, first):
    with encrypted(place) as line:
        line.sock.sendall(first)
        line.sock.settimeout(30)
        kind, content = line.next()
        assert kind in (b"", b"E"), content


@pytest.mark.parametrize(
    "message", [wire.message(b"Q", b"SELECT 1\0"), wire.message(b"p", b"x" * 9000), b"p\0\0\0\2"]
)
def test_nothing_but_a_proof_is_accepted_before_login(place, grant, message):
    with encrypted(place) as line:
        line.sock.sendall(wire.startup({"user": grant.ref}))
        assert line.next()[0] == b"R"
        line.sock.sendall(message)
        assert line.error()["C"] == "08P01"
        assert line.next()[0] == b""


def test_known_and_unknown_users_get_the_same_exchange_always(place, grant):
    def salt(user: str) -> bytes:
        with encrypted(place) as line:
            line.sock.sendall(wire.startup({"user": user}))
            line.next()
            first = Client("x").first()
            line.sock.sendall(wire.message(b"p", wire.string(PLAIN), struct.pack("!I", len(first)), first))
            said = line.next()[1][4:]
            assert said.endswith(b",i=4096")
            return said.split(b",")[1]

    known, unknown = [salt(grant.ref) for _ in range(2)], [salt("GR-ZZZZ") for _ in range(2)]
    assert known[0] == known[1] != unknown[0] == unknown[1]
    assert len(known[0]) == len(unknown[0])


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (wire.message(b"!", b""), "08P01"),
        (wire.message(b"F", b"\0" * 10), "0A000"),
        (wire.message(b"d", b"x"), "0A000"),
        (wire.message(b"p", b"x"), "08P01"),
        (b"Q" + struct.pack("!I", 2 << 20), "08P01"),
        (wire.message(b"Q", b"SELECT 1"), "08P01"),
        (wire.message(b"Q", b"SELECT '\xff'\0"), "08P01"),
        (wire.message(b"B", b"\0\0\0\1"), "08P01"),
        (wire.message(b"D", b"X\0"), "08P01"),
    ],
)
def test_a_message_that_is_unknown_too_long_or_not_whole_ends_the_connection(place, grant, message, code):
    with logged_in(place, grant) as line:
        line.sock.sendall(message)
        assert line.error()["C"] == code
        assert line.next()[0] == b""


def test_after_an_error_everything_is_ignored_until_the_next_sync(place, grant):
    update = wire.parse("", "UPDATE app.orders SET status = 'gone' WHERE id = 1")
    bind, run = wire.bind("", ""), wire.execute("")
    good = wire.parse("", "SELECT id FROM app.orders WHERE id = 1")
    with logged_in(place, grant) as line:
        before = grant.runs.count()
        line.sock.sendall(update + bind + run + good + bind + run + wire.message(b"Q", b"SHOW timezone\0"))
        line.sock.sendall(wire.SYNC)
        assert line.until_ready() == [b"E"]
        assert grant.runs.count() == before + 1
        line.sock.sendall(good + bind + run + wire.SYNC)
        assert line.until_ready() == [b"1", b"2", b"D", b"C"]


def test_a_refusal_after_an_error_of_the_server_is_recorded_and_ignored_like_everything_else(place, grant):
    none = wire.bind("", "")
    taken = wire.parse("", "INSERT INTO app.orders (id, status) VALUES (1, 'open')") + none + wire.execute("")
    refused = wire.parse("", "DELETE FROM app.orders") + none + wire.execute("")
    good = wire.parse("", "SELECT id FROM app.orders WHERE id = 1") + none + wire.execute("")
    with logged_in(place, grant) as line:
        before = grant.runs.count()
        # The second batch arrives while the first is being handled.
        line.sock.sendall(taken + wire.FLUSH + refused + good + wire.SYNC + good + wire.SYNC)
        assert line.until_ready() == [b"1", b"2", b"E"]
        assert line.until_ready() == [b"1", b"2", b"D", b"C"]
        assert grant.runs.count() >= before + 2


def test_a_name_that_is_taken_keeps_its_statement_and_its_decision(place, grant):
    one, two = "SELECT id FROM app.orders WHERE id = $1", "DELETE FROM app.orders WHERE id = $1"
    value = wire.bind("", "s", [b"1"])
    with logged_in(place, grant) as line:
        line.sock.sendall(wire.parse("s", one) + wire.SYNC)
        assert line.until_ready() == [b"1"]
        line.sock.sendall(wire.parse("s", two) + wire.SYNC + value + wire.execute("") + wire.SYNC)
        assert line.error()["C"] == "42P05"
        line.until_ready()
        assert line.until_ready() == [b"2", b"D", b"C"]
        assert grant.runs.latest("pk").line.startswith("SELECT")
        line.sock.sendall(
            wire.close(b"S", "s") + wire.parse("s", two) + value + wire.close(b"P", "") + wire.SYNC
        )
        assert line.until_ready() == [b"3", b"1", b"2", b"3"]


def test_a_portal_that_is_read_in_parts_is_one_run(place, grant):
    with logged_in(place, grant) as line:
        before = grant.runs.count()
        asked = wire.parse("", "SELECT id FROM app.orders WHERE id < 4") + wire.bind("p", "")
        line.sock.sendall(wire.message(b"Q", b"BEGIN\0"))
        assert line.until_ready() == [b"C"]
        line.sock.sendall(asked + wire.execute("p", 1) + wire.execute("p", 1) + wire.execute("p") + wire.SYNC)
        assert line.until_ready() == [b"1", b"2", b"D", b"s", b"D", b"s", b"D", b"C"]
        line.sock.sendall(wire.message(b"Q", b'FETCH ALL FROM "p"\0'))
        assert line.error()["C"] == "42501"
        assert list(grant.runs.order_by("pk").values_list("state", flat=True))[before:] == ["done", "refused"]


@pytest.mark.parametrize("name", ["statement", "portal"])
def test_what_was_never_prepared_is_an_error_and_no_run(place, grant, name):
    with logged_in(place, grant) as line:
        before = grant.runs.count()
        message = wire.bind("", "none") if name == "statement" else wire.execute("none")
        line.sock.sendall(message + wire.SYNC)
        assert line.error()["C"] == {"statement": "26000", "portal": "34000"}[name]
        assert grant.runs.count() == before


def test_a_row_limit_does_not_get_around_the_most_rows(place, grant):
    few = wire.parse("", "UPDATE app.orders SET status = 'paid' WHERE id < 9 RETURNING id")
    with logged_in(place, grant) as line:
        line.sock.sendall(few + wire.bind("", "") + wire.execute("", 1) + wire.SYNC)
        assert line.error()["C"] == "0A000"
