"""A token used without the key that it is bound to: recorded, and held against no one."""

from broker.audit.attempts import append_attempts
from sessions_app.models import CommandRun
from sessions_app.operations.sessions.record_failed_proof import record_failed_proof
from tests.support.world.acts import after, last
from tests.support.world.api_site import used


def fail(use, now, line="GET /tickets/T-42") -> None:
    record_failed_proof(use=use, line=line, reason="this token needs a DPoP proof", now=now)


def test_the_first_is_an_entry_at_once_and_the_others_are_one_entry_when_their_minute_is_over(world):
    use = used(world)
    fail(use, world.now)
    entry = last("command.refused", use.grant_ref)
    assert entry.data == {
        "target": "tickets-api",
        "line": "GET /tickets/T-42",
        "why": "this token needs a DPoP proof",
        "code": "proof",
    }
    for _ in range(4):
        fail(use, world.now, "GET /tickets/T-41")
    assert append_attempts(after(world, minutes=1)) == 1
    assert last("command.refused", use.grant_ref).data["count"] == 5


def test_none_of_them_is_a_run_so_none_counts_against_the_grant(world):
    use = used(world)
    fail(use, world.now)
    assert not CommandRun.objects.filter(grant=use.grant_id).exists()
