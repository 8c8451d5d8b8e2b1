"""What a call returned is remembered for later calls of its grant, as digests and within limits."""

import pytest

from broker.kernel.crypto import token_digest
from sessions_app.models import EndReason, Lease, ReturnedValue
from sessions_app.operations.grants.deprovision_grant import deprovision_grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions import keep_results as module
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.keep_results import keep_results
from sessions_app.operations.sessions.proofs.token import ByToken
from sessions_app.policy.commands.mcp.results import ResultField
from sessions_app.queries.grants.earlier_results import seen_by
from tests.support.world.acts import after
from tests.support.world.mcp_site import add_desk, grant_unseen, mail_files, token_of

ID = ResultField("look_up", ("id",))


@pytest.fixture
def use(world):
    add_desk(world, 9000, mail_files())
    token = token_of(grant_unseen(world, command_set="desk-mail", parameters={}), world)
    return only(authorize_use(by=ByToken(token_digest(token), "desk")))


def keep(use, run, now, *ids):
    """Keep what a call returned: one field for each id."""
    texts = [{"type": "text", "text": f'{{"id":"{one}"}}'} for one in ids]
    keep_results(use=use, run_id=run, tool="look_up", result={"content": texts}, now=now)


def known(use, now, *ids):
    asked = [(ID, f'"{one}"') for one in ids]
    seen = seen_by(grant_id=use.grant_id, mark=use.mark, asked=asked, now=now)
    return {text.strip('"'): run for (_, text), run in seen.returned.items()}


def test_a_value_is_known_by_the_newest_call_that_returned_it_and_stored_nowhere(use, world):
    keep(use, 1, world.now, "T-1", "T-2")
    keep(use, 2, world.now, "T-2")
    assert known(use, world.now, "T-1", "T-2", "T-3") == {"T-1": 1, "T-2": 2}
    assert all(len(row.digest) == 32 for row in ReturnedValue.objects.all())


def test_a_field_that_no_argument_comes_from_is_not_kept(use, world):
    result = {"structuredContent": {"name": "x"}}
    for tool in ("look_up", "send_mail", "other"):
        keep_results(use=use, run_id=1, tool=tool, result=result, now=world.now)
    assert not ReturnedValue.objects.exists()


def test_of_too_many_values_those_of_the_oldest_calls_are_dropped(use, world, monkeypatch):
    monkeypatch.setattr(module, "MAX_VALUES", 3)
    keep(use, 1, world.now, "T-1", "T-2")
    keep(use, 2, world.now, "T-3")
    keep(use, 3, world.now, "T-1", "T-4")
    assert known(use, world.now, "T-1", "T-2", "T-3", "T-4") == {"T-1": 3, "T-3": 2, "T-4": 3}


def test_a_value_counts_for_a_day(use, world):
    keep(use, 1, world.now, "T-1")
    assert known(use, after(world, hours=23), "T-1")
    assert not known(use, after(world, hours=24), "T-1")
    keep(use, 2, after(world, hours=25), "T-2")
    assert ReturnedValue.objects.count() == 1


def test_nothing_is_kept_past_the_end_of_a_grant(use, world):
    keep(use, 1, world.now, "T-1")
    end_grant(grant_id=use.grant_id, actor=None, reason=EndReason.REVOKED, now=world.now)
    Lease.objects.update(gone_at=world.now)
    deprovision_grant(grant_id=use.grant_id, now=lambda: world.now)
    assert not ReturnedValue.objects.exists()
    keep(use, 2, world.now, "T-2")
    assert not ReturnedValue.objects.exists()
