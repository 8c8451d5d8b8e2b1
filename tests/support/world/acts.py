"""What tests do with grants, sessions and the record, one function for each action."""

import contextlib
import datetime as dt
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import psycopg
from django.db import OperationalError, connection, transaction
from django.db.models import F

from broker.audit.models import AuditEntry
from broker.audit.verify import verify
from tests.support.waits import PATIENCE, ends, eventually

# The server is shared with the tests of other processes, whose databases have the same objects with the same
# numbers. A process that waits for a row or a transaction also has a lock in its own database.
# pg_stat_activity does not change within a transaction.
LOCKS_HERE = """(
    SELECT * FROM pg_locks WHERE pid IN (
        SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = database
            WHERE datname = current_database())
) AS locks WHERE true"""


def after(world, **span: float) -> dt.datetime:
    """Return the time this long after the world began."""
    return world.now + dt.timedelta(**span)


def events(ref: str | None = None) -> list[str]:
    """Return the events in the record, of one object or of all, in order."""
    entries = AuditEntry.objects.order_by("seq")
    return list((entries.filter(object_ref=ref) if ref else entries).values_list("event", flat=True))


def last(event: str, ref: str | None = None) -> AuditEntry:
    """Return the newest entry of an event."""
    entries = AuditEntry.objects.filter(event=event).order_by("-seq")
    found = (entries.filter(object_ref=ref) if ref else entries).first()
    assert found is not None, f"nothing is recorded as {event}"
    return found


def intact() -> bool:
    """Whether the record is unchanged since it was written."""
    return verify(connection=connection).ok


def use(grant, target: str = "web-1", *, now: dt.datetime):
    """Return the only use of a grant on a target."""
    from sessions_app.operations.sessions.authorize_use import authorize_use
    from sessions_app.operations.sessions.proofs.holder import ByHolder

    (found,) = authorize_use(by=ByHolder(grant.holder_id, target, grant.ref, now))
    return found


def session(use_, *, now: dt.datetime, gateway: str = "gateway-1") -> int:
    """Open a session at a gateway, which is registered first."""
    from sessions_app.operations.sessions.open_session import open_session
    from sessions_app.operations.sessions.renew_gateway import renew_gateway

    node = renew_gateway(name=gateway, version="1", now=now).id
    return open_session(use=use_, gateway_id=node, client_address="192.0.2.1", proof="SHA256:key", now=now)


def run(use_, session, line: str = "echo restart nginx", *, now: dt.datetime, order_id: int | None = None):
    """Try a line in an open session, or in a new one."""
    from sessions_app.operations.sessions.try_command import try_command
    from sessions_app.policy.commands.kinds import decide

    decision = decide(use_.compiled, line)
    return try_command(use=use_, session=session, line=line, decision=decision, order_id=order_id, now=now)


def held_upload(grant, text: str | None, *, now: dt.datetime) -> int:
    """Hold an upload of this text, and return its run. None: it can't be shown."""
    from sessions_app.operations.sessions.try_command import try_command
    from sessions_app.policy.commands.kinds import decide

    used = use(grant, now=now)
    words = ("put", "/srv/app/app.conf", f"size={len(text or '')}", f"sha256={'a' * 64}")
    decision = replace(decide(used.compiled, "echo stop nginx"), argv=words)
    opened = session(used, now=now)
    tried = try_command(
        use=used, session=opened, line=" ".join(words), decision=decision, shown=text, now=now
    )
    assert tried.verdict == "held"
    return tried.run_id


def confirmed_end(grant, began: dt.datetime, took: float, reason: str = "revoked") -> None:
    """Store an end of the grant that was confirmed so many seconds after it was due."""
    from sessions_app.models import Grant

    row = Grant.objects.filter(pk=grant.pk)
    row.update(state="revoking", version=F("version") + 1, revoking_at=began, end_reason=reason)
    ended = began + dt.timedelta(seconds=took)
    row.update(state="ended", version=F("version") + 1, ended_at=ended)


def revoke(grant, *, cut: bool = True) -> None:
    """End a grant now."""
    from broker.kernel import clock
    from sessions_app.models import EndReason
    from sessions_app.operations.grants.end_grant import end_grant

    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=clock.now(), cut=cut)


def enter(grant, target: str = "web-1", *, now: dt.datetime):
    """Return the use of a grant on a target, and an open session of it."""
    used = use(grant, target, now=now)
    return used, session(used, now=now)


def fresh(row):
    """Return a row in its current state in the database."""
    row.refresh_from_db()
    return row


def undo(grant, *, now: dt.datetime):
    """Revoke an ended grant on its targets."""
    from sessions_app.operations.grants.deprovision_grant import deprovision_grant

    return deprovision_grant(grant_id=grant.pk, now=lambda: now)


def try_to_hold(world, grant, *numbers: int, now: dt.datetime | None = None):
    """Try one held command for each number, after `vary_holds`."""
    used = use(grant, now=now or world.now)
    opened = session(used, now=now or world.now)
    return [run(used, opened, f"echo stop nginx {number}", now=now or world.now) for number in numbers]


def vary_holds(world) -> None:
    """Add a free number to the held command of the world's set."""
    name, once = "command-sets/restart-web.yaml", "  - run: echo stop {unit}\n"
    many = "  - run: echo stop {unit} {number}\n    where: {number: {int: [1, 100]}}\n"
    change(world, {name: world.catalog[name].replace(once, many)})


def policy(world, **changes: Any) -> dict[str, str]:
    """Return the file of the world's policy with some keys changed; None removes a key."""
    import yaml

    data = {**yaml.safe_load(world.catalog["policies/web-work.yaml"]), **changes}
    kept = {key: value for key, value in data.items() if value is not None}
    return {"policies/web-work.yaml": yaml.safe_dump(json.loads(json.dumps(kept)))}


def at_once(*acts: Callable[[], Any]) -> list[Any]:
    """Run all functions in separate threads that start together; return each one's result or error,
    in order.
    """
    results: list[Any] = [None] * len(acts)
    barrier = threading.Barrier(len(acts))

    def work(index: int) -> None:
        try:
            barrier.wait(PATIENCE)
            results[index] = acts[index]()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        ends(thread)
    return results


class Started:
    """A function in a thread, whose result or error is retrieved later."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self._result: Any = None
        self._thread = threading.Thread(target=self._work, args=(act,), daemon=True)
        self._thread.start()

    def _work(self, act: Callable[[], Any]) -> None:
        try:
            self._result = act()
        except Exception as error:  # noqa: BLE001  # the test looks at it
            self._result = error
        finally:
            connection.close()

    def result(self) -> Any:
        """Wait for the end and return the result."""
        ends(self._thread)
        return self._result


def wait_for_waiters(owner: psycopg.Connection[Any], count: int) -> None:
    """Wait until this many threads wait for a lock that another connection holds."""
    waiting = f"SELECT count(DISTINCT pid) >= %s FROM {LOCKS_HERE} AND NOT granted"
    eventually(lambda: owner.execute(waiting, [count]).fetchone() == (True,))


def let_ends_wait(owner: psycopg.Connection[Any]) -> None:
    """Let ends wait for the record as long as other operations do.

    Their limit of 50 ms is too short for tests.
    """
    row = owner.execute("SELECT pg_get_functiondef('audit_append_pending'::regproc)").fetchone()
    assert row is not None
    impatient, patient = "set_config('lock_timeout', '50', true)", "set_config('lock_timeout', '0', true)"
    assert impatient in row[0]
    owner.execute(row[0].replace(impatient, patient))


@contextlib.contextmanager
def locked(grant, seconds: float) -> Iterator[None]:
    """Lock a grant's row by another connection until the block ends, for at most this many seconds."""
    from sessions_app.models import Grant

    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            # A connection that waits for it idly is cut if the grant ends.
            with contextlib.suppress(OperationalError), transaction.atomic():
                Grant.objects.select_for_update().get(pk=grant.pk)
                held.set()
                done.wait(seconds)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert held.wait(PATIENCE)
        yield
    finally:
        done.set()
        holder.join()


def change(world, files: dict[str, str]) -> None:
    """Change files of the world's catalog permanently and apply it."""
    world.catalog.update(files)
    world.apply()


def awake(now: dt.datetime) -> dt.datetime:
    """Record that a sweeper ran at that time."""
    from sessions_app.models import Sweeper

    Sweeper.objects.update(seen_at=now)
    return now


TRIAGE = """
name: triage
kind: ssh
summary: See how the web servers are
risk: low
commands:
  - run: echo status
    effect: read
  - run: echo log {lines}
    where: {lines: {int: [1, 1000]}}
    effect: read
examples:
  allow: ["echo status"]
  refuse: ["echo stop"]
"""


def with_triage(world, **changes: Any) -> dict[str, str]:
    """Return the files that add a command set without parameters to the world's policy."""
    files = policy(world, command_sets=["restart-web", "triage"], **changes)
    return {"command-sets/triage.yaml": TRIAGE, **files}
