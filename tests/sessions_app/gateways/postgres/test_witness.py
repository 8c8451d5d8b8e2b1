"""A target's own log as the witness: what ran there under a grant's role is what the record says."""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Iterator

import psycopg
import pytest

from tests.support.servers.postgres_place import Place, postgres_place
from tests.support.servers.postgres_server import majors
from tests.support.waits import eventually

pytestmark = pytest.mark.processes

READ = "SELECT id FROM orders WHERE id = %s"
PAY = "UPDATE orders SET status = %s WHERE id = %s"
# What the gateway passes on without a command, and its own question. The record does not have these.
ASKED = "SELECT pg_catalog.txid_current_if_assigned()::pg_catalog.text"
PASSED = ("BEGIN", "COMMIT", "ROLLBACK", "SHOW TIME ZONE", "DEALLOCATE ALL", ASKED)


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("witness")
    settings = {"log_statement": "all"}
    with (
        django_db_blocker.unblock(),
        postgres_place(django_db_blocker, folder, major=majors()[0], settings=settings) as place,
    ):
        yield place


def without_quotes(text: str) -> str:
    """Return a statement with all numbers as such: a log shows bound numbers as text."""
    return re.sub(r"'(\d+)'(::integer)?", r"\1", text)


def logged(place: Place, role: str) -> list[str]:
    """Return what the server has run for a role, in order, with values in place of parameters."""
    found = []
    for log in sorted((place.shop.server.data / "log").glob("*.json")):
        for entry in map(json.loads, log.read_text().splitlines()):
            ran = re.fullmatch(r"(?:execute [^:]*|statement): (.*)", entry.get("message", ""), re.DOTALL)
            if entry.get("user") == role and ran:
                found.append(without_quotes(with_values(ran[1], entry.get("detail", ""))))
    return found


def with_values(text: str, detail: str) -> str:
    """Return a statement with its parameters as the log's detail shows them."""
    values = dict(re.findall(r"(\$\d+) = ('(?:[^']|'')*'|NULL)", detail))
    return re.sub(r"\$\d+", lambda at: values[at[0]], text)


def use(client: psycopg.Connection) -> None:
    """Send statements in every way: simple, prepared, together, in transactions, refused and rolled back."""
    for number in (1, 2):
        client.execute(PAY, ["paid", number])
    client.execute("UPDATE orders SET status = 'closed' WHERE id = 2")
    for number in (1, 1, 2, 1):
        client.execute(READ, [number], prepare=True)
    with contextlib.suppress(psycopg.Error):
        client.execute("DELETE FROM orders")
    with contextlib.suppress(psycopg.Error), client.transaction():
        client.execute(PAY, ["open", 3])
        client.execute(PAY, ["gone", 3])
    client.execute(
        "UPDATE orders SET status = 'paid' WHERE id = 1; SHOW timezone; SELECT id FROM orders WHERE id = 3"
    )
    with contextlib.suppress(psycopg.Error):
        client.execute("UPDATE orders SET status = 'open' WHERE id < 9 RETURNING id")
    with contextlib.suppress(psycopg.Error), client.pipeline():
        client.execute("INSERT INTO orders (id, status) VALUES (%s, %s)", [1, "open"])
        client.execute(PAY, ["paid", 3])


def sent(grant: object) -> list[tuple[str, int]]:
    """Return what the record says was sent, in order, and how often: 0 for a run of its own."""
    from sessions_app.models import CommandRun

    runs = CommandRun.objects.filter(grant=grant).exclude(state="refused").order_by("pk")
    # The target ignored those that were not run, and did not log them.
    return [
        (without_quotes(run.line), run.count.times if hasattr(run, "count") else 0)
        for run in runs.select_related("count")
        if "not run" not in run.reason
    ]


def test_the_log_of_the_server_and_the_record_have_the_same_statements_in_the_same_order(place):
    grant = place.grant()
    with place.connect(grant) as client:
        use(client)

    def ran() -> list[str]:
        return [line for line in logged(place, place.role(grant)) if line not in PASSED]

    eventually(lambda: sum(times or 1 for _, times in sent(grant)) == len(ran()), within=10)
    said, ours = ran(), sent(grant)
    assert Counter(said) == Counter(line for line, times in ours for _ in range(times or 1))
    # Repeated reads are recorded together, up to a second later.
    counted = {line for line, times in ours if times}
    assert [line for line in said if line not in counted] == [line for line, _ in ours if line not in counted]
    assert len(counted) == 2
    assert len(said) > 10
