"""A log of its own for each test, and the means of somebody who owns the database and disables its guards."""

import hashlib

import pytest
from django.db import connection

from broker.audit.verify import Verdict, verify
from tests.broker.audit.build import bulk_build

LOG = "trial"
GUARDED = ("audit_entry", "audit_head", "audit_checkpoint", "audit_key")


@pytest.fixture(autouse=True)
def kept(tmp_path, settings):
    """The file outside the database, of this test alone."""
    settings.CHECKPOINTS_FILE = tmp_path / "outside" / "checkpoints.txt"
    return tmp_path / "outside" / "checkpoints.txt"


@pytest.fixture
def tamper(owner_connection):
    """Run a statement with the guards disabled, as the owner of the database can."""

    def run(sql: str, *values: object) -> None:
        with owner_connection.transaction(), owner_connection.cursor() as cursor:
            for table in GUARDED:
                cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
            cursor.execute(sql, values)
            assert cursor.rowcount, f"nothing was changed by {sql}"
            for table in GUARDED:
                cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")

    return run


@pytest.fixture
def trial(tamper):
    """An empty log beside the main one."""
    start = hashlib.sha256(b"stint-audit-log-1\n" + LOG.encode()).digest()
    tamper("INSERT INTO audit_head (log, seq, hash) VALUES (%s, 0, %s)", LOG, start)
    return LOG


@pytest.fixture
def ten(trial):
    """The log with ten entries."""
    bulk_build(connection, 10, log=trial)
    return trial


@pytest.fixture
def check():
    """Verify the trial log."""

    def run(*, from_seq: int = 0) -> Verdict:
        return verify(log=LOG, connection=connection, from_seq=from_seq)

    return run
