"""A holder who wants more than was approved, at the real gateway: values, names, other people's grants."""

import contextlib
import struct

import psycopg
import pytest
from psycopg import errors

from sessions_app.gateways.postgres import wire
from tests.sessions_app.gateways.postgres.test_raw import logged_in

pytestmark = pytest.mark.processes

# The pattern of the value is [a-z]{4,40}.
SET = "UPDATE app.orders SET note = {} WHERE id = 1 RETURNING id, note"
VALUES = [
    "good\x00bad",
    "good\nbad",
    "good\rbad",
    "good\u202ebad",
    "good\u200bbad",
    "good\u00a0bad",
    "good'; DROP TABLE app.orders; --",
    "good\\'; DROP TABLE app.orders; --",
    "good$$bad",
    "goodb\u0430d",
    "GOOD",
    "",
    "good " * 20_000,
]


@pytest.fixture
def grant(place):
    place.shop.admin("UPDATE app.orders SET note = 'x'")
    return place.grant(command_set="set-notes")


def note(place) -> object:
    return place.shop.one("SELECT note FROM app.orders WHERE id = 1")


def bound(value: bytes) -> bytes:
    """The messages of a statement with this value."""
    asked = wire.bind("", "", [value])
    return wire.parse("", SET.format("$1")) + asked + wire.execute("") + wire.SYNC


@pytest.mark.parametrize("value", VALUES, ids=ascii)
def test_a_hostile_value_is_refused_and_nothing_runs(place, grant, value):
    with logged_in(place, grant) as line:
        line.sock.sendall(bound(value.encode()))
        assert line.error()["C"] == "42501"
        line.until_ready()
        if "\0" not in value:
            text = SET.format("'" + value.replace("'", "''") + "'")
            line.sock.sendall(wire.message(b"Q", wire.string(text)))
            assert line.error()["C"] == "42501"
            line.until_ready()
        line.sock.sendall(bound(b"good"))
        assert line.until_ready() == [b"1", b"2", b"D", b"C"]
    assert note(place) == "good"


@pytest.mark.parametrize("value", [b"good\xff", b"good\xed\xa0\x80", b"\xc0\xaegood"])
def test_a_value_that_is_not_utf_8_is_an_error_and_nothing_runs(place, grant, value):
    with logged_in(place, grant) as line:
        line.sock.sendall(bound(value))
        assert line.error()["C"] == "22P03"
    assert note(place) == "x"


# A name, the numbers of formats and values, a value's length, and the formats of the result.
BINDS = {
    "fewer formats than values": struct.pack("!HHHHH", 2, 0, 0, 1, 0),
    "more values than it says": struct.pack("!HHi", 0, 1, 4) + b"goodgood" + b"\0\0",
    "a value longer than the message": struct.pack("!HHi", 0, 1, 2**31 - 1) + b"good",
    "a negative length": struct.pack("!HHi", 0, 1, -7) + b"good\0\0",
    "an unknown format": struct.pack("!HHHi", 1, 9, 1, 4) + b"good\0\0",
    "65535 values": struct.pack("!HH", 0, 65535),
}


@pytest.mark.parametrize("bind", BINDS)
def test_a_bind_that_contradicts_itself_ends_the_connection(place, grant, bind):
    with logged_in(place, grant) as line:
        line.sock.sendall(
            wire.parse("", SET.format("$1")) + wire.message(b"B", b"\0\0", BINDS[bind]) + wire.execute("")
        )
        assert line.error()["C"] == "08P01"
        while line.next()[0]:
            pass
    assert note(place) == "x"


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE \"app.orders\" SET note = 'good' WHERE id = 1 RETURNING id, note",
        'UPDATE app."orders""" SET note = \'good\' WHERE id = 1 RETURNING id, note',
        "UPDATE app.\"Orders\" SET note = 'good' WHERE id = 1 RETURNING id, note",
        "UPDATE pg_temp.orders SET note = 'good' WHERE id = 1 RETURNING id, note",
        'UPDATE app.orders SET "note""" = \'good\' WHERE id = 1 RETURNING id, note',
        "UPDATE app.orders SET note = U&'g\\006fod' UESCAPE '!' WHERE id = 1 RETURNING id, note, note",
        "UPDATE app.orders SET note = 'good' WHERE id OPERATOR(app.=) 1 RETURNING id, note",
        "GRANT UPDATE ON app.orders TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT ALL ON TABLES TO PUBLIC",
        "COPY app.orders FROM PROGRAM 'id'",
        "SET SESSION ROLE stint_broker",
        "RESET ROLE",
        "RESET ALL",
        "SECURITY LABEL ON ROLE stint_broker IS 'x'",
        "(" * 500 + "SELECT 1" + ")" * 500,
        "SELECT " + "-" * 300 + "1",
        "SELECT '" + "x" * 70_000 + "'",
    ],
    ids=lambda text: text[:40],
)
def test_no_spelling_gets_around_the_commands(place, grant, text):
    with place.connect(grant) as client:
        with pytest.raises(errors.InsufficientPrivilege, match="Stint refused"):
            client.execute(text)
        assert client.execute(SET.format("'good'")).fetchone() == (1, "good")


def test_a_token_opens_its_own_grant_and_no_other(place, grant):
    other = place.grant()
    mine = place.tokens[grant.pk]["Password"]
    for user in (other.ref, f"{other.ref}.db-1", f"{grant.ref}.db-2", f"{grant.ref} ", place.role(other)):
        with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|can't be used"):
            place.connect(other, user=user, password=mine)


def test_many_connections_of_one_grant_leave_others_their_own(place, grant):
    other = place.grant()
    with contextlib.ExitStack() as stack:
        refused = 0
        for _ in range(30):
            try:
                stack.enter_context(place.connect(grant))
            except psycopg.OperationalError:
                refused += 1
        assert refused
        assert stack.enter_context(place.connect(other)).execute("SHOW timezone").fetchone()
