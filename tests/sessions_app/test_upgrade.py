"""A database of the previous version is migrated with a live grant, and continues."""

import gzip
import subprocess
import sys

import psycopg
import pytest
from django.db import connection, connections

from broker.audit.checkpoint import make_checkpoint
from broker.audit.models import AuditEntry
from broker.kernel import clock
from sessions_app.models import AccessRequest, Grant, GrantState, RequestState
from sessions_app.operations.requests.withdraw_request import withdraw_request
from sessions_app.operations.sessions.close_session import close_session
from tests.environment import POSTGRES, ROOT
from tests.support.databases import drop_database, owner
from tests.support.world import acts
from tests.upgrade import FIXTURE

pytestmark = [pytest.mark.processes, pytest.mark.slow]


@pytest.fixture
def previous(processes, stint_db):
    """The database as the previous version left it, then migrated."""
    connections.close_all()
    drop_database(stint_db.name)
    owner(f"CREATE DATABASE {stint_db.name}")
    psql = [POSTGRES.binaries.postgres.parent / "psql", "-q", "-v", "ON_ERROR_STOP=1"]
    url = POSTGRES.url("stint_owner", stint_db.name)
    subprocess.run([*psql, url], input=gzip.decompress(FIXTURE.read_bytes()), check=True, capture_output=True)
    subprocess.run(
        [sys.executable, ROOT / "manage.py", "migrate", "--no-input"],
        env=stint_db.env,
        check=True,
        capture_output=True,
    )
    clock.sync()


def test_it_is_small():
    assert FIXTURE.stat().st_size < 200_000


def test_the_live_grant_is_used_and_ends_and_the_record_is_intact(previous, fake_targets):
    states = dict(Grant.objects.values_list("state", "pk"))
    assert states.keys() == {GrantState.ACTIVE, GrantState.ENDED}
    entries = AuditEntry.objects.count()
    assert entries > 20
    assert acts.intact()
    # The worker writes the checkpoints that the file lacks, and compares them.
    make_checkpoint(now=clock.now())
    acts.awake(clock.now())
    live = Grant.objects.get(pk=states[GrantState.ACTIVE])
    _, session = acts.enter(live, now=clock.now())
    close_session(session_id=session, reason="closed", now=clock.now())
    acts.revoke(live)
    acts.undo(live, now=clock.now())
    assert acts.fresh(live).state == GrantState.ENDED
    pending = AccessRequest.objects.get(state=RequestState.PENDING)
    withdraw_request(request_id=pending.pk, actor=pending.requester, now=clock.now())
    assert acts.fresh(pending).state == RequestState.WITHDRAWN
    assert AuditEntry.objects.count() > entries
    assert acts.intact()


def test_it_has_the_schema_of_a_new_installation(previous):
    columns = """SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
                  WHERE table_schema = 'public'"""
    with connection.cursor() as cursor:
        cursor.execute(columns)
        migrated = set(cursor.fetchall())
    with psycopg.connect(POSTGRES.url("stint_owner", "stint")) as new:
        assert migrated == set(new.execute(columns).fetchall())
