"""What a gateway that is killed can lose of the reads that it counts together."""

import signal
import time

import pytest

from broker.audit.models import AuditEntry
from tests.support.pace import allow
from tests.support.waits import eventually

pytestmark = pytest.mark.timing

READ = "SELECT id FROM app.orders WHERE id = 1"
CHANGE = "UPDATE app.orders SET status = 'paid' WHERE id = 1"
READS_S, LOSES_S = 5.0, 3.0


def recorded(grant, line: str) -> int:
    """How often the record has a statement of a grant."""
    entries = AuditEntry.objects.filter(object_ref=grant.ref, event="command.allowed")
    return sum(one.data.get("times", 1) for one in entries if one.data["argv"] == [line])


def test_a_killed_gateway_loses_no_read_older_than_three_seconds_and_never_a_change(place):
    grant, read_at, changes = place.grant(), [], 0
    with place.connect(grant) as client:
        until = time.monotonic() + READS_S
        while time.monotonic() < until:
            client.execute(READ)
            read_at.append(time.monotonic())
            if len(read_at) % 50 == 0:
                client.execute(CHANGE)
                changes += 1
        killed_at = time.monotonic()
        place.gateway.send_signal(signal.SIGKILL)
        place.gateway.wait()
    try:
        safe = sum(1 for at in read_at if at < killed_at - allow(LOSES_S))
        assert len(read_at) > safe > 0
        assert safe <= recorded(grant, READ) <= len(read_at)
        assert recorded(grant, CHANGE) == changes > 0
        assert grant.runs.filter(line=READ).exists()
    finally:
        place.start()
    eventually(lambda: not grant.sessions.filter(closed_at=None).exists(), within=20)
