"""Moving the deadline."""

import pytest

from sessions_app.models import EndReason
from sessions_app.operations.grants.apply_extension import apply_extension
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.requests.extend_grant import extend_grant
from tests.support.world.acts import after, change, events, policy
from tests.support.world.world import SETUP


@pytest.fixture
def waiting(world):
    change(world, policy(world, extension={"times": 2, "by": "1h", "approvals": "same"}))
    grant = world.grant()
    return extend_grant(grant_id=grant.pk, requester=world.alice, seconds=600, now=world.now)


def test_the_deadline_moves_by_exactly_what_was_approved(world, waiting):
    grant = apply_extension(request=waiting, seconds=300, actor=SETUP, now=after(world, minutes=59))
    assert grant.expires_at == after(world, minutes=65)
    assert events(grant.ref)[-1] == "grant.extended"


def test_a_deadline_that_has_passed_never_moves(world, waiting):
    with pytest.raises(GrantIsOver):
        apply_extension(request=waiting, seconds=300, actor=SETUP, now=waiting.extends.expires_at)
    end_grant(grant_id=waiting.extends_id, actor=None, reason=EndReason.REVOKED, now=world.now)
    with pytest.raises(GrantIsOver):
        apply_extension(request=waiting, seconds=300, actor=SETUP, now=world.now)
    assert "grant.extended" not in events()
