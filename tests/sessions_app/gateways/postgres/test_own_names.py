"""No name of a statement or portal that is the gateway's own reaches the client, its views or the log."""

import json
import re

import pytest

from broker.kernel import clock
from sessions_app.gateways.postgres import wire
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.servers.kubernetes_place import accepted

pytestmark = pytest.mark.processes

COMMAND_SET = """
name: named
kind: postgres
summary: Errors and names
risk: high
schema: app
commands:
  - sql: INSERT INTO app.named (id, note) VALUES ({id}, {note})
    where: {id: {int: [-9, 9]}, note: {pattern: "[a-z]{1,9}"}}
    effect: change
  - sql: UPDATE app.named SET note = {note} WHERE id = {id}
    where: {id: {int: [-9, 9]}, note: {pattern: "[a-z]{1,9}"}}
    effect: change
    hold: true
  - sql: UPDATE app.gone SET note = 'x' WHERE id = {id}
    where: {id: {int: [-9, 9]}}
    effect: change
  - select: {tables: [app.named], columns: [id, note, gone]}
    effect: read
  - select: {tables: [app.names], columns: [id, name]}
    effect: read
"""
# What the server knows of the names of a connection, as a view and as a notice of a trigger.
TABLES = """
CREATE TABLE app.named (id int PRIMARY KEY CHECK (id > 0), note text);
CREATE VIEW app.names AS SELECT 1 AS id, name FROM pg_catalog.pg_prepared_statements
  UNION ALL SELECT 2, name FROM pg_catalog.pg_cursors;
CREATE FUNCTION app.say() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
  FOR found IN SELECT name FROM pg_catalog.pg_prepared_statements UNION SELECT name FROM pg_catalog.pg_cursors
  LOOP RAISE NOTICE 'name "%"', found; END LOOP;
  IF NEW.note = 'raise' THEN RAISE 'raised'; END IF;
  RETURN NEW;
END$$;
CREATE TRIGGER say BEFORE INSERT OR UPDATE ON app.named FOR EACH ROW EXECUTE FUNCTION app.say();
GRANT ALL ON app.named, app.names TO stint_broker WITH GRANT OPTION;
"""
# What exists when a grant starts, and not when it is used.
GONE = """
CREATE TABLE app.gone (id int, note text);
GRANT ALL ON app.gone TO stint_broker WITH GRANT OPTION;
ALTER TABLE app.named ADD COLUMN gone text;
"""
OWN = re.compile(rb"[0-9a-f]{16}_[0-9]+")
INSERT = "INSERT INTO app.named (id, note) VALUES ($1, $2)"
SELECT = "SELECT id FROM app.named WHERE id = $1"
INT4, BOOL, ONE = (23,), (16,), [b"1"]
RUN, CLOSE = wire.execute("client_p"), wire.close(b"P", "client_p")
KNOWN = wire.parse("client_s", INSERT) + wire.bind("client_p", "client_s", [b"1", b"x"])
READS = wire.parse("client_s", SELECT, INT4) + wire.bind("client_p", "client_s", ONE)


def inserts(id_: bytes, note: bytes) -> bytes:
    return wire.parse("", INSERT) + wire.bind("client_p", "", [id_, note]) + RUN


# By message: what provokes an error of the target, and its code.
ERRORS = {
    "parse: name in use": (READS + wire.parse("client_s", SELECT), "42P05"),
    "parse: no such table": (wire.parse("client_s", "UPDATE app.gone SET note = 'x' WHERE id = 1"), "42P01"),
    "parse: no such column": (wire.parse("client_s", "SELECT gone FROM app.named"), "42703"),
    "parse: wrong type": (wire.parse("client_s", INSERT, BOOL), "42804"),
    "parse: transaction failed": (
        inserts(b"1", b"raise")
        + wire.SYNC
        + wire.parse("client_s", SELECT)
        + wire.bind("client_p", "client_s", ONE),
        "25P02",
    ),
    "bind: unknown statement": (wire.bind("client_p", "client_none"), "26000"),
    "bind: too many values": (
        wire.parse("client_s", "SET timezone = 'UTC'") + wire.bind("client_p", "client_s", ONE),
        "08P01",
    ),
    "bind: portal in use": (KNOWN + RUN + wire.bind("client_p", "client_s", [b"2", b"x"]) + RUN, "42P03"),
    "bind: transaction failed": (
        READS + inserts(b"1", b"raise") + wire.SYNC + wire.bind("client_q", "client_s", ONE),
        "25P02",
    ),
    "describe: unknown statement": (wire.describe(b"S", "client_none"), "26000"),
    "describe: unknown portal": (wire.describe(b"P", "client_none"), "34000"),
    "execute: unknown portal": (wire.execute("client_none"), "34000"),
    "execute: portal has run": (KNOWN + RUN + RUN, "55000"),
    "execute: duplicate key": (inserts(b"2", b"x") + CLOSE + inserts(b"2", b"x"), "23505"),
    "execute: check": (inserts(b"-1", b"x"), "23514"),
    "execute: raised": (inserts(b"3", b"raise"), "P0001"),
    "execute: closed portal": (KNOWN + CLOSE + RUN, "34000"),
}


@pytest.fixture(scope="module")
def made(place):
    place.shop.admin(TABLES)
    policy = json.loads(place.world.catalog["policies/shop-work.yaml"])
    policy["command_sets"].append("named")
    place.world.catalog["command-sets/named.yaml"] = accepted(COMMAND_SET)
    place.world.catalog["policies/shop-work.yaml"] = json.dumps(policy)
    place.world.apply(now=clock.now())


@pytest.fixture
def grant(place, made):
    place.shop.admin(GONE)
    made = place.grant(command_set="named")
    place.shop.admin("DROP TABLE app.gone; ALTER TABLE app.named DROP COLUMN gone")
    return made


def answers(line, sent: bytes) -> list[tuple[bytes, bytes]]:
    """Send messages, and return all answers up to the last ReadyForQuery."""
    line.sock.sendall(sent)
    found = []
    for _ in range(sent.count(wire.SYNC) + sent.startswith(b"Q")):
        while (got := line.next())[0] != b"Z":
            assert got[0], found
            found.append(got)
    return found


@pytest.mark.parametrize("error", ERRORS)
def test_no_error_of_the_target_has_a_name_that_is_not_the_clients(place, grant, error):
    sent, code = ERRORS[error]
    with logged_in(place, grant) as line:
        line.sock.sendall(wire.message(b"Q", wire.string("BEGIN")))
        line.until_ready()
        found = answers(line, sent + wire.SYNC)
    said = [wire.read_error(content) for kind, content in found if kind in (b"E", b"N")]
    assert said[-1]["C"] == code
    assert not OWN.search(b"".join(content for _, content in found))
    names = [name for one in said for name in one["M"].split('"')[1::2] if "_" in name]
    assert all(name.startswith(("client_", "named_")) for name in names), names


def test_a_client_sees_only_its_own_names_while_the_gateway_runs_statements_of_its_own(place, grant):
    """A statement that may be held makes the gateway read facts, begin a block, and set limits."""
    update = "UPDATE app.named SET note = 'y' WHERE id = 1"
    held = wire.parse("client_h", update) + wire.bind("client_p", "client_h") + RUN
    listed = wire.parse("client_l", "SELECT id, name FROM app.names") + wire.bind("client_q", "client_l")
    with logged_in(place, grant) as line:
        line.sock.sendall(wire.message(b"Q", wire.string("BEGIN")))
        line.until_ready()
        found = answers(line, inserts(b"1", b"x") + CLOSE + held + listed + wire.SYNC)
        found += answers(line, wire.execute("client_q") + wire.SYNC)
        line.sock.sendall(wire.message(b"Q", wire.string("ROLLBACK")))
        line.until_ready()
    rows = [content for kind, content in found if kind == b"D"]
    notices = [wire.read_error(content)["M"] for kind, content in found if kind == b"N"]
    assert any(b"client_l" in row for row in rows)
    assert 'name "client_p"' in notices
    assert not OWN.search(b"".join(content for _, content in found))
    assert not OWN.search(place.log.read_bytes())
