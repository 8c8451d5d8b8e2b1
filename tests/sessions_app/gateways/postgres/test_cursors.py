"""The rows of a cursor count together against the limit of its statement, however its client fetches them."""

import contextlib

import pytest
from psycopg import errors

from sessions_app.gateways.postgres import wire
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

# The command that allows it has a limit of 5 rows.
BILLS = "SELECT id FROM app.bills WHERE id < "


@pytest.fixture
def grant(place):
    place.shop.admin("DELETE FROM app.bills; INSERT INTO app.bills SELECT generate_series(0, 90)")
    return place.grant()


@pytest.fixture
def client(place, grant):
    with place.connect(grant) as connection:
        yield connection


@pytest.fixture
def opened(client):
    """A client with a cursor of nine rows in its transaction."""
    client.execute("BEGIN")
    client.execute(f"DECLARE c SCROLL CURSOR FOR {BILLS} 9")
    return client


def ends(grant) -> list[tuple[str, int | None]]:
    return list(grant.runs.order_by("pk").values_list("state", "rows"))


def read(client, *fetches: str) -> list[int]:
    """Return the rows that a client gets until it is refused."""
    rows: list[int] = []
    with contextlib.suppress(errors.InsufficientPrivilege):
        for fetch in fetches:
            cursor = client.execute(fetch)
            rows += [row[0] for row in cursor.fetchall()] if cursor.description else []
    return rows


def test_a_cursor_within_the_limit_is_one_run_with_all_of_its_rows(grant, client):
    client.execute("BEGIN")
    client.execute(f"DECLARE c CURSOR FOR {BILLS} 5")
    assert read(client, "FETCH 2 FROM c", "FETCH ALL FROM c") == [0, 1, 2, 3, 4]
    assert ends(grant)[0][0] == "running"
    client.execute("CLOSE c")
    eventually(lambda: ends(grant) == [("done", 5)])
    client.execute("COMMIT")


@pytest.mark.parametrize(
    "fetches",
    [
        ["FETCH ALL FROM c"],
        ["FETCH 100 FROM c"],
        ["FETCH 1 FROM c"] * 6,
        ["FETCH 3 FROM c", "FETCH 3 FROM c"],
        ["MOVE 5 IN c", "FETCH 4 FROM c"],
        ["MOVE 3 IN c", "MOVE 3 IN c"],
        ["FETCH 5 FROM c", "FETCH BACKWARD 5 FROM c"],
        ['FETCH 5 FROM "c"', "FETCH ABSOLUTE 8 FROM C"],
    ],
)
def test_no_more_rows_than_the_limit_come_out_of_a_cursor(grant, opened, fetches):
    *first, last = fetches
    read(opened, *first)
    with pytest.raises(errors.InsufficientPrivilege, match="may touch at most 5. Its transaction is rolled"):
        opened.execute(last)
    opened.execute("ROLLBACK")
    eventually(lambda: ends(grant)[0][0] == "failed")
    assert "rolled back" in grant.runs.get().reason


def test_rows_beyond_the_limit_are_not_even_sent(place, grant):
    text = f"BEGIN; DECLARE c CURSOR FOR {BILLS} 9; FETCH 9 FROM c; COMMIT"
    with logged_in(place, grant) as line:
        line.sock.sendall(wire.message(b"Q", wire.string(text)))
        assert line.until_ready().count(b"D") == 5


def test_what_a_savepoint_brings_back_is_still_limited(opened):
    assert len(read(opened, "FETCH 5 FROM c", "SAVEPOINT a", "FETCH 1 FROM c")) == 5
    assert read(opened, "ROLLBACK TO a", "FETCH ALL FROM c") == []
    opened.execute("ROLLBACK")


def test_a_name_that_another_cursor_takes_over_counts_from_zero(grant, opened):
    assert len(read(opened, "FETCH 4 FROM c", "CLOSE c")) == 4
    opened.execute(f"DECLARE c CURSOR FOR {BILLS} 4")
    assert len(read(opened, "FETCH ALL FROM c", "CLOSE ALL")) == 4
    opened.execute("DECLARE c CURSOR FOR SELECT id FROM app.many WHERE id <= 20")
    assert len(read(opened, "FETCH ALL FROM c", "COMMIT")) == 20
    eventually(lambda: [state for state, _ in ends(grant)] == ["done"] * 3)


def test_a_cursor_that_was_not_closed_ends_with_its_transaction(grant, opened):
    read(opened, "FETCH 3 FROM c", "COMMIT")
    eventually(lambda: ends(grant) == [("done", 3)])


def test_a_cursor_that_is_closed_like_a_portal_has_ended(place, grant):
    text = f"BEGIN; DECLARE c CURSOR FOR {BILLS} 9; FETCH 2 FROM c"
    with logged_in(place, grant) as line:
        line.sock.sendall(wire.message(b"Q", wire.string(text)))
        line.until_ready()
        line.sock.sendall(wire.close(b"P", "c") + wire.SYNC)
        assert line.until_ready() == [b"3"]
        eventually(lambda: ends(grant) == [("done", 2)])


def test_a_name_that_is_taken_leaves_the_first_cursor_its_limit(opened):
    opened.execute("SAVEPOINT a")
    with pytest.raises(errors.DuplicateCursor):
        opened.execute("DECLARE c CURSOR FOR SELECT id FROM app.many WHERE id <= 20")
    opened.execute("ROLLBACK TO a")
    assert len(read(opened, "FETCH 5 FROM c", "FETCH ALL FROM c")) == 5
    opened.execute("ROLLBACK")


@pytest.mark.parametrize("way", ["select", "fetch"])
def test_a_portal_that_is_read_in_parts_does_not_get_around_the_limit(place, grant, way):
    with logged_in(place, grant) as line:
        before = f"BEGIN; DECLARE c CURSOR FOR {BILLS} 9"
        line.sock.sendall(wire.message(b"Q", wire.string(before)))
        line.until_ready()
        text = f"{BILLS} 9" if way == "select" else "FETCH ALL FROM c"
        asked = wire.parse("", text) + wire.bind("p", "")
        line.sock.sendall(asked + wire.execute("p", 3) * 3 + wire.SYNC)
        assert line.error()["C"] == "0A000"
