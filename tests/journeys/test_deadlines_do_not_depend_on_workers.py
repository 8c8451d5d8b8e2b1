"""Ends are on time whatever happens to the worker, Celery beat and the queue, and messages have no effect
that rows do not justify.
"""

import contextlib
import datetime as dt
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
import redis
from celery import Celery
from django.db import connection, transaction
from django.db.models import Model

from broker.audit.models import AuditCheckpoint, AuditEntry, AuditHead
from broker.celery import app
from broker.embedded.state import temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey
from broker.kernel import clock
from sessions_app.models import AccessRequest, EndReason, Grant, Lease, Notice, Observation, Sweeper
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.close_session import close_session
from tests.environment import ROOT
from tests.support.pace import allow
from tests.support.servers.gateway import Place, on_target
from tests.support.waits import eventually
from tests.support.world.acts import LOCKS_HERE, run, session, use

pytestmark = pytest.mark.timing

MANY = 500
_numbers = itertools.count(500_000)


@pytest.fixture
def valkey(processes) -> Iterator[EmbeddedValkey]:
    """A real queue, used only by this test."""
    with temporary_state_dir("stint-queue-") as folder, EmbeddedValkey(folder) as server:
        yield server


@contextlib.contextmanager
def worker(
    place: Place, queue: EmbeddedValkey, name: str = "one", *, beat: bool = True, **env: str
) -> Iterator[subprocess.Popen[bytes]]:
    """A real worker, by default with Celery beat."""
    words = (
        f"-m celery -A broker.celery:app worker {'-B' if beat else ''} -P threads -c 4 --scheduler"
        f" celery.beat:Scheduler -Q revoke,provision,upkeep,notify -l WARNING -n {name}@test --without-gossip"
        " --without-mingle"
    )
    command = [sys.executable, *words.split()]
    # A sweeper seen before was the worker of another test.
    Sweeper.objects.filter(name="worker").delete()
    log = (place.folder / f"worker-{name}.log").open("wb")
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**place.env, "REDIS_URL": queue.celery_url(), **env},
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        log.close()


def sweeps(name: str, since: dt.datetime | None = None) -> bool:
    """Whether a sweeper of that name has run since then, or in the last seconds."""
    return Sweeper.objects.filter(
        name__startswith=name, seen_at__gt=since or clock.now() - dt.timedelta(seconds=8)
    ).exists()


@contextlib.contextmanager
def locked(table: str) -> Iterator[Callable[[], bool]]:
    """Lock a table against readers, and yield a function that returns whether a transaction waits for it."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")

        def waits() -> bool:
            cursor.execute(
                f"SELECT EXISTS (SELECT FROM {LOCKS_HERE} AND relation = %s::regclass AND NOT granted)",
                [table],
            )
            return bool(cursor.fetchone()[0])

        yield waits


def grants_due_in(place: Place, seconds: float, count: int, spread: float = 2.0) -> list[int]:
    """Create active grants of Alice with deadlines close together, the first this many seconds from now."""
    first = place.world.grant(now=clock.now())
    # The gateway's sweeper may be starting it right now; only a started grant may be copied.
    eventually(lambda: Grant.objects.get(pk=first.pk).state == "active")
    template = Grant.objects.get(pk=first.pk)
    requests, grants = copies(template.request, count), copies(template, count)
    for request in requests:
        request.number = next(_numbers)
    AccessRequest.objects.bulk_create(requests)
    for grant, request in zip(grants, requests, strict=True):
        grant.request, grant.ref, grant.mark = request, f"GR-T{request.number}", f"mark-{request.number}"
    made = sorted(grant.pk for grant in Grant.objects.bulk_create(grants))
    # In one statement: a grant inserted after its deadline would be ended late by design.
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sessions_app_grant SET expires_at = clock_timestamp() + make_interval(secs => %s + %s *"
            " (id - %s)) WHERE id = ANY (%s)",
            [seconds, spread / count, made[0], made],
        )
    assert not connection.in_atomic_block
    return made


def copies(row: Model, count: int) -> list[Model]:
    """Return this many copies of a row, not saved yet."""
    fields = [field.attname for field in row._meta.concrete_fields if not field.primary_key]
    return [type(row)(**{name: getattr(row, name) for name in fields}) for _ in range(count)]


def lateness(ids: list[int]) -> list[float]:
    """Wait until all have ended, and return how many seconds after its deadline each end began."""
    ended = Grant.objects.filter(pk__in=ids, revoking_at__isnull=False)
    eventually(lambda: ended.count() == len(ids), within=40, every=0.2)
    return [(g.revoking_at - g.expires_at).total_seconds() for g in ended]


def on_time(seconds: float) -> float:
    """Return the allowed lateness, extended by the machine's stalls in the last ten seconds."""
    return seconds + allow(10) - 10


def test_a_queue_that_stops_during_500_expiries_makes_no_end_late(place, valkey):
    with worker(place, valkey):
        eventually(lambda: sweeps("worker"), within=30)
        ids = grants_due_in(place, 12, MANY)
        time.sleep(6)
        os.kill(valkey.pid, signal.SIGSTOP)
        try:
            late = lateness(ids)
        finally:
            os.kill(valkey.pid, signal.SIGCONT)
    assert min(late) >= 0
    assert max(late) <= on_time(2)


def test_a_queue_that_is_emptied_and_killed_loses_no_end(place, valkey):
    with worker(place, valkey):
        eventually(lambda: sweeps("worker"), within=30)
        ids = grants_due_in(place, 5, 50)
        os.kill(valkey.pid, signal.SIGKILL)
        assert max(lateness(ids)) <= on_time(2)
    eventually(lambda: Grant.objects.filter(pk__in=ids, state="ended").count() == len(ids), within=30)


def test_a_queue_that_is_gone_is_one_line_in_the_log_of_each_process_and_no_more_for_a_minute(place, valkey):
    with worker(place, valkey, "gone"):
        eventually(lambda: sweeps("worker"), within=30)
        os.kill(valkey.pid, signal.SIGKILL)
        log = place.folder / "worker-gone.log"
        eventually(lambda: "queue does not respond" in log.read_text(), within=20)
        # Beat has sent, or tried to send, about three messages a second.
        time.sleep(8)
        written = log.read_text()
    # Beat is a separate process here.
    assert written.count("queue does not respond") <= 2, written
    assert "Traceback" not in written


def test_a_worker_whose_queue_is_gone_in_the_middle_of_a_task_lives_on_and_works_again_when_the_queue_is_back(
    place, valkey
):
    with worker(place, valkey, "lives") as process:
        eventually(lambda: sweeps("worker"), within=30)
        # Beat looks for due webhooks each second.
        with locked("sessions_app_webhookendpoint") as somebody_waits:
            eventually(somebody_waits, within=20)
            os.kill(valkey.pid, signal.SIGKILL)
            log = place.folder / "worker-lives.log"
            eventually(lambda: "queue does not respond" in log.read_text(), within=20)
        valkey.stop()
        valkey.start()
        back = clock.now()
        eventually(lambda: sweeps("worker", since=back), within=30)
        assert process.poll() is None, log.read_text()
        assert "Unrecoverable" not in log.read_text()


def test_a_worker_alone_ends_and_undoes_when_every_gateway_is_gone(place, valkey):
    with worker(place, valkey):
        eventually(lambda: sweeps("worker"), within=30)
        place.stop()
        try:
            ids = grants_due_in(place, 2, 20)
            assert max(lateness(ids)) <= on_time(2)
            eventually(lambda: Grant.objects.filter(pk__in=ids, state="ended").count() == len(ids), within=30)
        finally:
            place.start()


def test_two_workers_with_a_beat_each_do_nothing_twice(place, valkey):
    with worker(place, valkey, "one"), worker(place, valkey, "two"):
        eventually(lambda: sweeps("worker"), within=30)
        ids = grants_due_in(place, 4, 60)
        assert max(lateness(ids)) <= on_time(2)
        refs = list(Grant.objects.filter(pk__in=ids).values_list("ref", flat=True))
        eventually(lambda: Grant.objects.filter(pk__in=ids, state="ended").count() == len(ids), within=30)
        time.sleep(2)
    entries = Counter(AuditEntry.objects.filter(object_ref__in=refs).values_list("object_ref", "event"))
    assert {entries[ref, event] for ref in refs for event in ("grant.revoking", "grant.ended")} == {1}


def test_forged_doubled_and_late_messages_do_nothing_that_the_row_does_not_justify(place, valkey):
    active = place.world.grant(now=clock.now())
    later = place.world.grant(now=clock.now(), start=False, starts_at=clock.now() + dt.timedelta(hours=2))
    with worker(place, valkey), Celery(broker=valkey.celery_url(), set_as_current=False) as forger:
        eventually(lambda: sweeps("worker"), within=30)
        for _ in range(2):
            forger.send_task("grants.deprovision", kwargs={"grant_id": active.pk}, queue="revoke")
            forger.send_task("grants.provision", kwargs={"grant_id": later.pk}, queue="provision")
            forger.send_task("grants.provision", kwargs={"grant_id": active.pk}, queue="provision")
            forger.send_task("grants.deprovision", kwargs={"grant_id": 10**12}, queue="revoke")
            forger.send_task("grants.deprovision", kwargs={"grant_id": "1; DROP TABLE"}, queue="revoke")
            forger.send_task("grants.everything", kwargs={}, queue="revoke")
        time.sleep(3)
        states = dict(Grant.objects.filter(pk__in=[active.pk, later.pk]).values_list("pk", "state"))
        assert states == {active.pk: "active", later.pk: "scheduled"}
        ids = grants_due_in(place, 1, 5)
        assert max(lateness(ids)) <= on_time(2), "the worker did not survive the forgeries"


def used(place: Place) -> int:
    """Return an active grant that may have left processes on web-1."""
    grant, now = place.grant(), clock.now()
    opened = session(use(grant, now=now), now=now)
    run(use(grant, now=now), opened, "true", now=now)
    close_session(session_id=opened, reason="left", now=now)
    return grant.pk


def revoke(grant_id: int) -> None:
    """End a grant now."""
    end_grant(grant_id=grant_id, actor=None, reason=EndReason.REVOKED, now=clock.now())


def test_a_gateway_that_is_killed_while_it_asks_a_target_delays_no_end_there(place):
    ids = [used(place), used(place)]
    target = place.targets["web-1"].pid
    os.kill(target, signal.SIGSTOP)
    try:
        revoke(ids[0])
        silent = Lease.objects.filter(grant=ids[0], asked_at__isnull=False)
        eventually(lambda: silent.filter(asked_at__lt=clock.now() - dt.timedelta(seconds=2)).exists())
        place.stop()
    finally:
        os.kill(target, signal.SIGCONT)
    assert silent.exists(), "nothing tidied up behind it"
    place.start()
    revoke(ids[1])
    eventually(lambda: Grant.objects.filter(pk__in=ids, state="ended").count() == 2, within=10)


def test_a_gateway_that_is_frozen_when_a_grant_is_revoked_lets_nothing_run_for_longer_than_two_seconds(
    place, valkey
):
    with worker(place, valkey):
        eventually(lambda: sweeps("worker"), within=30)
        grant = place.grant()
        with place.running("setsid", user=f"{grant.ref}.web-1") as (_, tag):
            os.kill(place.gateway.pid, signal.SIGSTOP)
            try:
                revoke(grant.pk)
                eventually(lambda: not on_target(tag), within=2)
            finally:
                os.kill(place.gateway.pid, signal.SIGCONT)


def test_a_worker_throws_away_what_has_expired_and_no_end_is_late(place, valkey):
    """All messages have expired when they arrive; a gateway needs none."""

    def seen() -> dt.datetime | None:
        return Sweeper.objects.filter(name="worker").values_list("seen_at", flat=True).first()

    with (
        worker(place, valkey, beat=False),
        Celery(broker=valkey.celery_url(), set_as_current=False) as others,
    ):
        others.send_task("sweep.tick", queue="revoke")
        eventually(lambda: seen() is not None, within=30)
        taken, ids = seen(), grants_due_in(place, 5, 20)
        expired = dt.datetime.now(dt.UTC) - dt.timedelta(hours=1)
        for _ in range(8):
            others.send_task("sweep.tick", queue="revoke", expires=expired)
            for pk in ids:
                others.send_task(
                    "grants.deprovision", kwargs={"grant_id": pk}, queue="revoke", expires=expired
                )
            time.sleep(1)
        assert max(lateness(ids)) <= on_time(2)
        eventually(lambda: Grant.objects.filter(pk__in=ids, state="ended").count() == len(ids), within=30)
        assert seen() == taken


@pytest.fixture
def dead_mail_server() -> Iterator[dict[str, str]]:
    """Run a mail server that accepts connections and never responds; return its settings."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(1024)
        host, port = hole.getsockname()
        yield {"STINT_SMTP_HOST": host, "STINT_SMTP_PORT": str(port)}


def test_5000_due_notices_and_a_dead_mail_server_leave_ends_checkpoints_and_reconciliation_on_time(
    place, valkey, dead_mail_server, settings
):
    alice = place.world.alice
    Notice.objects.bulk_create(
        Notice(identity=alice, event="grant.active", subject=f"Notice {n}", path="/") for n in range(5_000)
    )
    known = list(Notice.objects.filter(attempts__gt=0).values_list("pk", flat=True))
    tried = Notice.objects.filter(attempts__gt=0).exclude(pk__in=known)
    place.stop()
    began_trying = time.monotonic()
    try:
        with (
            worker(place, valkey, **dead_mail_server),
            redis.Redis.from_url(valkey.url()) as queue,
            Celery(broker=valkey.celery_url(), set_as_current=False) as beat,
        ):
            eventually(lambda: sweeps("worker"), within=30)
            eventually(tried.all().exists, within=30)
            ids = grants_due_in(place, 10, 50, spread=5)
            time.sleep(5)
            began, head = clock.now(), AuditHead.objects.get().seq
            for task in ("record.checkpoint", "clusters.reconcile_all"):
                beat.send_task(task, **app.conf.task_routes[task])
            eventually(lambda: AuditCheckpoint.objects.filter(size__gte=head).exists(), within=5)
            eventually(lambda: Observation.objects.filter(tried_at__gte=began).count() == 2, within=20)
            assert max(lateness(ids)) <= on_time(2)
            # On a busy machine some messages remain for a moment; thousands could not be processed in time.
            eventually(lambda: max(queue.llen(name) for name in app.amqp.queues) < 20, within=10)
            most = 1 + (time.monotonic() - began_trying) / settings.EMAIL_TIMEOUT
            assert tried.count() <= most, "one sender asks a server that is dead"
    finally:
        place.start()
