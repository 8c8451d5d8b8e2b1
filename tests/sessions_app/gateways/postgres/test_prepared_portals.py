"""A holder with a raw client who prepares what no one approved, and lets the server run it in another way."""

import json

import pytest

from broker.kernel import clock
from sessions_app.gateways.postgres import wire
from sessions_app.operations.grants.suspend_grant import suspend_grant
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.servers.kubernetes_place import accepted

pytestmark = pytest.mark.processes

COMMAND_SET = """
name: watched
kind: postgres
summary: What a hold, a limit or a budget watches
risk: high
schema: app
commands:
  - sql: UPDATE app.orders SET note = 'held' WHERE id = 2
    effect: change
    hold: true
  - call: app.mark({tag}::integer)
    where: {tag: {int: [1, 9]}}
    effect: change
    hold: true
  - sql: UPDATE app.orders SET note = 'limited' WHERE id < 9 RETURNING id
    effect: change
    max_rows: 2
  - sql: UPDATE app.orders SET note = 'many' WHERE id < 9
    effect: change
    budget: [{rows: 1, then: refuse}]
  - sql: UPDATE app.orders SET note = 'plain' WHERE id = 2
    effect: change
  - select: {tables: [app.many], columns: [id, text]}
    effect: read
"""
HELD = "UPDATE app.orders SET note = 'held' WHERE id = 2"
PLAIN = "UPDATE app.orders SET note = 'plain' WHERE id = 2"
WATCHED = {
    "a hold": HELD,
    "a held call": "SELECT app.mark(1)",
    "a row limit": "UPDATE app.orders SET note = 'limited' WHERE id < 9 RETURNING id",
    "a budget": "UPDATE app.orders SET note = 'many' WHERE id < 9",
    "a suspended grant": PLAIN,
}
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


@pytest.fixture(scope="module")
def made(place):
    place.shop.admin(
        "CREATE FUNCTION app.mark(tag int) RETURNS int LANGUAGE plpgsql SECURITY DEFINER SET search_path ="
        " pg_catalog AS $$BEGIN UPDATE app.orders SET note = 'marked'; RETURN tag; END$$;"
        "REVOKE EXECUTE ON FUNCTION app.mark FROM PUBLIC;"
        "GRANT EXECUTE ON FUNCTION app.mark TO stint_broker WITH GRANT OPTION"
    )
    policy = json.loads(place.world.catalog["policies/shop-work.yaml"])
    policy["command_sets"].append("watched")
    policy["delegation"] = {"depth": 1, "to": {"identities": ["deployer"]}}
    place.world.catalog["command-sets/watched.yaml"] = accepted(COMMAND_SET)
    place.world.catalog["policies/shop-work.yaml"] = json.dumps(policy)
    place.world.apply(now=clock.now())
    return lambda: place.grant(command_set="watched")


@pytest.fixture
def grant(place, made):
    place.shop.admin("UPDATE app.orders SET note = 'x'")
    return made()


def notes(place) -> list[tuple]:
    return place.shop.admin("SELECT DISTINCT note FROM app.orders")


def run(line, text: str) -> list[bytes]:
    line.sock.sendall(wire.message(b"Q", wire.string(text)))
    return line.until_ready()


def prepare(line, text: str, name: str) -> list[bytes]:
    """Begin a transaction, and bind a portal of this name that is not executed."""
    assert run(line, "BEGIN") == [b"C"]
    line.sock.sendall(wire.parse("", text) + wire.bind(name, "") + wire.SYNC)
    return line.until_ready()


def attack(place, grant, watched: str, name: str, statement: str) -> None:
    """Bind a portal that is not executed, let the server run it by a statement, and commit."""
    with logged_in(place, grant) as line:
        assert prepare(line, WATCHED[watched], name) == [b"1", b"2"]
        if watched == "a suspended grant":
            suspend_grant(grant_id=grant.pk, actor=place.world.bob, note="Wait", now=clock.now())
        line.sock.sendall(wire.message(b"Q", wire.string(statement)))
        assert line.error()["C"] == "42501"
        line.until_ready()
        run(line, "COMMIT")


@pytest.mark.parametrize("watched", WATCHED)
@pytest.mark.parametrize("way", WAYS)
def test_a_portal_is_never_run_by_its_name(place, grant, way, watched):
    attack(place, grant, watched, "p", way.format("p"))
    assert notes(place) == [("x",)]
    if watched != "a suspended grant":
        assert "no cursor `p` is open" in grant.runs.latest("pk").reason


@pytest.mark.parametrize("watched", WATCHED)
@pytest.mark.parametrize("name", NAMES)
def test_no_spelling_of_its_name_runs_a_portal(place, grant, name, watched):
    attack(place, grant, watched, name.strip('"')[:63], f"FETCH ALL FROM {name}")
    assert notes(place) == [("x",)]


@pytest.mark.parametrize("watched", WATCHED)
def test_a_delegated_grant_runs_no_portal_by_its_name(place, grant, watched):
    attack(place, place.delegated(grant), watched, "p", "FETCH ALL FROM p")
    assert notes(place) == [("x",)]


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
    assert notes(place) == [("x",)]


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
    assert notes(place) == [("x",)]


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
    one = wire.parse("", "SELECT id FROM app.many WHERE id = 1") + wire.bind("", "") + wire.execute("")
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
    assert notes(place) == [("x",)]
