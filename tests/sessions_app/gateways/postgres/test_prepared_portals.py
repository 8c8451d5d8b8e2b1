"""A holder with a raw client who prepares what no one approved, and lets the server run it in another way."""

import pytest

from broker.kernel import clock
from sessions_app.gateways.postgres import wire
from sessions_app.models import Grant, Notice
from sessions_app.operations.grants.suspend_grant import suspend_grant
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

HELD = "UPDATE app.orders SET note = 'hack' WHERE id = 2"
LIMITED = "UPDATE app.orders SET status = 'closed' WHERE id < 9 RETURNING id"
PLAIN = "UPDATE app.orders SET status = 'closed' WHERE id = 2"
WAYS = [
    "FETCH ALL FROM {}",
    "FETCH 1 FROM {}",
    "FETCH BACKWARD 1 FROM {}",
    "FETCH ABSOLUTE 1 FROM {}",
    "FETCH RELATIVE 1 FROM {}",
    "FETCH FORWARD 0 FROM {}",
    "MOVE ALL IN {}",
    "CLOSE {}",
]
NAMES = ["p", "P", '"P"', "x" * 63, "x" * 70]


@pytest.fixture
def grant(place):
    place.shop.admin("UPDATE app.orders SET status = 'open', note = 'x'")
    return place.grant()


def rows(place) -> list[tuple]:
    return place.shop.admin("SELECT DISTINCT status, note FROM app.orders")


def run(line, text: str) -> list[bytes]:
    line.sock.sendall(wire.message(b"Q", wire.string(text)))
    return line.until_ready()


def prepare(line, text: str, name: str) -> list[bytes]:
    """Begin a transaction, and bind a portal of this name that is not executed."""
    assert run(line, "BEGIN") == [b"C"]
    line.sock.sendall(wire.parse("", text) + wire.bind(name, "") + wire.SYNC)
    return line.until_ready()


@pytest.mark.parametrize("text", [HELD, LIMITED, PLAIN])
@pytest.mark.parametrize("way", WAYS)
def test_a_portal_is_never_run_by_its_name(place, grant, way, text):
    with logged_in(place, grant) as line:
        assert prepare(line, text, "p") == [b"1", b"2"]
        line.sock.sendall(wire.message(b"Q", wire.string(way.format("p"))))
        assert line.error()["C"] == "42501"
        line.until_ready()
        run(line, "COMMIT")
    assert rows(place) == [("open", "x")]
    assert "no cursor `p` is open" in grant.runs.latest("pk").reason


@pytest.mark.parametrize("name", NAMES)
def test_no_spelling_of_its_name_runs_a_portal(place, grant, name):
    with logged_in(place, grant) as line:
        prepare(line, HELD, name.strip('"')[:63])
        assert b"E" in run(line, f"FETCH ALL FROM {name}")
        run(line, "COMMIT")
    assert rows(place) == [("open", "x")]


@pytest.mark.parametrize(
    "ended", ["ROLLBACK TO a", "CLOSE c", "CLOSE ALL", "COMMIT; BEGIN", "ROLLBACK; BEGIN"]
)
def test_a_cursor_that_is_closed_can_not_be_fetched_even_in_the_same_batch(place, grant, ended):
    declare = "DECLARE c CURSOR FOR SELECT id FROM app.many WHERE id = 1"
    texts = ["BEGIN", "SAVEPOINT a", declare, *ended.split("; ")]
    each = b"".join(wire.parse("", text) + wire.bind("", "") + wire.execute("") for text in texts)
    portal = wire.parse("", PLAIN) + wire.bind("c", "")
    fetch = wire.parse("", "FETCH ALL FROM c") + wire.bind("", "") + wire.execute("")
    with logged_in(place, grant) as line:
        line.sock.sendall(each + portal + fetch + wire.SYNC)
        assert line.error()["C"] == "42501"
        line.until_ready()
        run(line, "COMMIT")
    assert rows(place) == [("open", "x")]


def test_a_suspended_grant_does_not_run_what_was_bound_before(place, grant):
    with logged_in(place, grant) as line:
        prepare(line, PLAIN, "p")
        suspend_grant(grant_id=grant.pk, actor=place.world.bob, note="Wait", now=clock.now())
        assert b"E" in run(line, "FETCH ALL FROM p")
        run(line, "ROLLBACK")
        run(line, "BEGIN")
        line.sock.sendall(wire.parse("", PLAIN) + wire.bind("p", "") + wire.execute("p") + wire.SYNC)
        assert line.error()["C"] == "42501"
        line.until_ready()
        run(line, "COMMIT")
    assert rows(place) == [("open", "x")]


@pytest.mark.parametrize("name", ["s" * 64, "\u00e9"])
@pytest.mark.parametrize("message", ["parse", "bind", "close"])
def test_names_that_a_server_could_take_for_another_are_refused(place, grant, message, name):
    known = wire.parse("s" * 63, PLAIN)
    sent = {
        "parse": wire.parse(name, HELD),
        "bind": wire.bind(name, "s" * 63),
        "close": wire.close(b"S", name),
    }
    with logged_in(place, grant) as line:
        line.sock.sendall(known + sent[message] + wire.SYNC)
        assert line.error()["C"] == "42622"


def test_a_named_portal_is_described_and_read_in_parts_between_other_statements(place, grant):
    select = wire.parse("s", "SELECT id FROM app.many WHERE id <= $1")
    one = wire.parse("", "SELECT id FROM app.orders WHERE id = 1") + wire.bind("", "") + wire.execute("")
    with logged_in(place, grant) as line:
        run(line, "BEGIN")
        line.sock.sendall(select + wire.bind("p", "s", [b"4"]) + wire.describe(b"P", "p"))
        line.sock.sendall(wire.execute("p", 2) + wire.SYNC)
        assert line.until_ready() == [b"1", b"2", b"T", b"D", b"D", b"s"]
        line.sock.sendall(one + wire.SYNC)
        assert line.until_ready() == [b"1", b"2", b"D", b"C"]
        line.sock.sendall(wire.execute("p", 1) + wire.execute("p") + wire.close(b"P", "p") + wire.SYNC)
        assert line.until_ready() == [b"D", b"s", b"D", b"C", b"3"]
        line.sock.sendall(wire.execute("p") + wire.SYNC)
        assert line.error()["C"] == "34000"


def test_a_portal_whose_statement_was_closed_before_it_ran_does_not_exist(place, grant):
    with logged_in(place, grant) as line:
        run(line, "BEGIN")
        line.sock.sendall(wire.parse("s", PLAIN) + wire.bind("p", "s") + wire.close(b"S", "s"))
        line.sock.sendall(wire.execute("p") + wire.SYNC)
        assert line.error()["C"] == "26000"
    assert rows(place) == [("open", "x")]


@pytest.mark.parametrize("kind", ["simple", "parse", "bind", "execute", "describe", "close"])
def test_no_error_of_the_target_contains_a_name_that_is_not_the_clients(place, grant, kind):
    """The target's errors for each message, and the names that it has by then."""
    known = wire.parse("client_s", "SET timezone = 'UTC'") + wire.bind("client_p", "client_s")
    sent = {
        "simple": wire.message(b"Q", wire.string("ROLLBACK TO none")),
        "parse": wire.parse("client_s", "SHOW timezone") + wire.parse("client_s", "SHOW timezone"),
        "bind": known + wire.bind("client_p", "client_s", [b"1"]),
        "execute": known + wire.execute("client_p") + wire.execute("client_p"),
        "describe": wire.describe(b"P", "client_none"),
        "close": known + wire.close(b"P", "client_p") + wire.execute("client_p"),
    }
    with logged_in(place, grant) as line:
        run(line, "BEGIN")
        line.sock.sendall(sent[kind] + wire.SYNC)
        said = line.error()
        quoted = said["M"].split('"')[1::2]
        assert all(name.startswith("client_") or name == "none" for name in quoted), said
        assert "stint_" not in str(said)


def unapproved_view(place) -> None:
    """Make a read write: what the gateway can't see is what a hole in it would be."""
    place.shop.admin(
        "CREATE OR REPLACE FUNCTION app.touch() RETURNS int LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog AS $$BEGIN UPDATE app.orders SET note = 'hack'; RETURN 1; END$$;"
        "ALTER TABLE app.many ENABLE ROW LEVEL SECURITY; DROP POLICY IF EXISTS p ON app.many;"
        "CREATE POLICY p ON app.many USING (app.touch() = 1)"
    )


READ = "SELECT id FROM app.many WHERE id = 1"


@pytest.mark.parametrize("texts", [[READ], ["BEGIN", READ, "COMMIT"], [f"BEGIN; {READ}; COMMIT"]])
def test_a_transaction_that_wrote_although_nothing_was_allowed_to_is_rolled_back(place, grant, texts):
    unapproved_view(place)
    place.shop.admin("GRANT EXECUTE ON FUNCTION app.touch() TO PUBLIC")
    try:
        with logged_in(place, grant) as line:
            *first, last = texts
            for text in first:
                run(line, text)
            line.sock.sendall(wire.message(b"Q", wire.string(last)))
            assert "it has changed data, and no statement in it was allowed to" in line.error()["M"]
            line.until_ready()
    finally:
        place.shop.admin("ALTER TABLE app.many DISABLE ROW LEVEL SECURITY")
    assert rows(place) == [("open", "x")]
    found = Grant.objects.get(pk=grant.pk)
    assert found.held_at is not None
    assert "changed data, and no statement in it was allowed to" in found.held_note
    eventually(
        lambda: Notice.objects.filter(grant=grant, event="grant.held", identity=place.world.bob).exists()
    )
