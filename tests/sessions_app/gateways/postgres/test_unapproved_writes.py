"""A transaction that has written is not committed unless the record allowed a statement that may write."""

import signal

import pytest

from sessions_app.gateways.postgres import wire
from sessions_app.gateways.postgres.commits import UNAPPROVED_WRITE
from sessions_app.models import Grant, Notice
from tests.sessions_app.gateways.postgres.test_raw import logged_in
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

READ = "SELECT id FROM app.many WHERE id = 1"
HELD = "UPDATE app.orders SET note = 'hack' WHERE id = 2"
WEAKENED = ("-m", "tests.support.servers.weakened_postgres_gateway")


@pytest.fixture
def grant(place):
    place.shop.admin("UPDATE app.orders SET note = 'x'")
    return place.grant()


@pytest.fixture
def reads_write(place):
    """Make a read write: what the gateway can't see is what a hole in it would be."""
    place.shop.admin(
        "CREATE FUNCTION app.touch() RETURNS int LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog AS $$BEGIN UPDATE app.orders SET note = 'hack'; RETURN 1; END$$;"
        "GRANT EXECUTE ON FUNCTION app.touch() TO PUBLIC;"
        "ALTER TABLE app.many ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON app.many USING (app.touch() = 1)"
    )
    yield
    place.shop.admin("DROP POLICY p ON app.many; ALTER TABLE app.many DISABLE ROW LEVEL SECURITY")
    place.shop.admin("DROP FUNCTION app.touch()")


@pytest.fixture
def weakened(place, request):
    """Run the gateway without some of its defenses."""
    place.stop(signal.SIGTERM)
    place.start(*WEAKENED, TEST_WITHOUT=request.param)
    yield
    place.stop(signal.SIGTERM)
    place.start()


def each(text: str, portal: str = "") -> bytes:
    return wire.parse("", text) + wire.bind(portal, "")


def query(text: str) -> bytes:
    return wire.message(b"Q", wire.string(text))


# A portal of a statement that would be held is bound and not executed. The server runs it by its name.
ATTACKS = {
    "in a block": [query("BEGIN"), each(HELD, "p") + wire.SYNC, query("FETCH ALL FROM p"), query("COMMIT")],
    "in a batch": [each(HELD, "p") + each("FETCH ALL FROM p") + wire.execute("") + wire.SYNC],
    "by a batch that commits": [
        query("BEGIN"),
        each(HELD, "p")
        + each("MOVE ALL IN p")
        + wire.execute("")
        + each("COMMIT")
        + wire.execute("")
        + wire.SYNC,
    ],
}


def errors(line, batches: list[bytes]) -> list[str]:
    """Send batches one after the other, and return the errors that the client gets."""
    found = []
    for batch in batches:
        line.sock.sendall(batch)
        while (got := line.next())[0] != b"Z":
            if got[0] == b"E":
                found.append(wire.read_error(got[1])["M"])
    return found


@pytest.mark.parametrize(
    ("weakened", "found"),
    [
        ("cursors", '"p" does not exist'),
        ("late binding", "no cursor `p` is open"),
        ("cursors,late binding", UNAPPROVED_WRITE),
    ],
    indirect=["weakened"],
)
def test_each_defense_alone_keeps_what_no_one_approved_out(place, grant, weakened, found):
    for attack in ATTACKS.values():
        attacked = place.grant()
        with logged_in(place, attacked) as line:
            assert found in " ".join(errors(line, attack))
        assert place.shop.admin("SELECT DISTINCT note FROM app.orders") == [("x",)]
        suspended = Grant.objects.get(pk=attacked.pk).held_at is not None
        assert suspended is (found == UNAPPROVED_WRITE)


@pytest.mark.parametrize("texts", [[READ], ["BEGIN", READ, "COMMIT"], [f"BEGIN; {READ}; COMMIT"]])
def test_reads_that_have_written_are_rolled_back_and_the_grant_is_suspended(place, grant, reads_write, texts):
    with logged_in(place, grant) as line:
        assert errors(line, [query(text) for text in texts]) == [UNAPPROVED_WRITE]
    assert place.shop.admin("SELECT DISTINCT note FROM app.orders") == [("x",)]
    found = Grant.objects.get(pk=grant.pk)
    assert found.held_at is not None
    assert "changed data, and no statement in it was allowed to" in found.held_note
    eventually(
        lambda: Notice.objects.filter(grant=grant, event="grant.held", identity=place.world.bob).exists()
    )
