"""A log of its own for each test, and the means of somebody who owns the database and disables its guards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from django.db import connection

from broker.audit.verify import Verdict, verify
from tests.broker.audit.build import bulk_build

LOG = "trial"
TABLES = ("audit_entry", "audit_head")

Tamper = Callable[..., None]


@contextmanager
def guards_down() -> Iterator[None]:
    with connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield
        for table in TABLES:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture
def tamper(db: None) -> Tamper:
    """Run a statement with the guards disabled, as the owner of the database can."""

    def run(sql: str, *values: object) -> None:
        with guards_down(), connection.cursor() as cursor:
            cursor.execute(sql, values)
            assert cursor.rowcount, f"nothing was changed by {sql}"

    return run


@pytest.fixture
def trial(tamper: Tamper) -> str:
    """An empty log beside the main one."""
    start = hashlib.sha256(b"stint-audit-log-1\n" + LOG.encode()).digest()
    tamper("INSERT INTO audit_head (log, seq, hash) VALUES (%s, 0, %s)", LOG, start)
    return LOG


@pytest.fixture
def ten(trial: str) -> str:
    """The log with ten entries."""
    bulk_build(connection, 10, log=trial)
    return trial


@pytest.fixture
def check() -> Callable[..., Verdict]:
    """Verify the trial log."""

    def run(*, from_seq: int = 0) -> Verdict:
        return verify(log=LOG, connection=connection, from_seq=from_seq)

    return run
