"""Asking for access."""

from __future__ import annotations

import pytest
from broker.audit.models import AuditEntry

from sessions_app.models import Grant, Notice, RequestState
from sessions_app.operations.request_access import RequestRefused


def test_a_request_that_needs_approval_waits_and_tells_the_approvers(world):
    request = world.request()
    assert request.state == RequestState.PENDING
    assert request.ref.startswith("REQ-")
    assert set(Notice.objects.values_list("identity__username", flat=True)) == {"bob", "dora"}
    assert AuditEntry.objects.filter(event="request.created", object_ref=request.ref).exists()


def test_a_request_over_the_limit_is_refused_with_the_reason_and_the_fix(world):
    with pytest.raises(RequestRefused) as refusal:
        world.request(duration=5 * 3600)
    assert "over the limit of 4 h" in refusal.value.message
    assert refusal.value.hint == "Make it 4 h."
    assert not Grant.objects.exists()
