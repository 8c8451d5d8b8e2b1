"""What a holder uses a grant with on a target: shown once, to the holder, while the grant is in use."""

import pytest

from broker.audit.models import AuditEntry
from broker.audit.standing import RecordContradicted, write_standing
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import EndReason
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.issue_credential import TargetDidNotAnswer, issue_credential
from sessions_app.operations.grants.prepare_grant import prepare_grant
from tests.support.world.acts import last


@pytest.fixture
def grant(world, making):
    grant = world.grant()
    return prepare_grant(grant_id=grant.pk, now=lambda: world.now)


def issue(world, grant, who=None, target="web-1", now=None):
    return issue_credential(grant_id=grant.pk, actor=who or world.alice, target=target, now=now or world.now)


def test_the_holder_gets_it_and_the_record_says_so_without_it(world, grant):
    credential = issue(world, grant)
    assert credential.fields == {"password": f"key-to-{grant.ref}"}
    entry = last("credential.issued", grant.ref)
    assert (entry.actor, entry.data["target"]) == ("alice", "web-1")
    assert credential.fields["password"] not in str(list(AuditEntry.objects.values_list("body", flat=True)))
    assert credential.fields["password"] not in repr(credential)


def test_nobody_else_gets_it_not_even_an_administrator(world, grant):
    for who in (world.bob, world.charlie, world.admin):
        with pytest.raises(NotFound):
            issue(world, grant, who)


def test_after_the_end_or_the_deadline_there_is_none(world, grant, making):
    calls = list(making.calls)
    with pytest.raises(GrantIsOver):
        issue(world, grant, now=grant.expires_at)
    end_grant(grant_id=grant.pk, actor=world.alice, reason=EndReason.RELEASED, now=world.now)
    with pytest.raises(GrantIsOver):
        issue(world, grant)
    assert making.calls == calls


def test_one_of_several_targets_has_to_be_named(world, grant):
    with pytest.raises(InvalidInput, match="several") as caught:
        issue(world, grant, target=None)
    assert "web-1, web-2" in caught.value.hint
    with pytest.raises(InvalidInput):
        issue(world, grant, target="db-9")


def test_a_target_that_does_not_answer_is_said_to(world, grant, making):
    making.down = {"web-1"}
    with pytest.raises(TargetDidNotAnswer, match="web-1 does not respond"):
        issue(world, grant)


def test_access_that_needs_none_has_none(world, fake_targets):
    with pytest.raises(InvalidInput, match="needs no credential"):
        issue(world, world.grant())


def test_a_record_that_contradicts_its_checkpoints_gives_out_nothing_and_makes_nothing(world, grant, making):
    write_standing("An older backup was restored.")
    grant.leases.update(made_until=None)
    calls = list(making.calls)
    with pytest.raises(RecordContradicted):
        issue(world, grant)
    prepare_grant(grant_id=grant.pk, now=lambda: world.now)
    assert making.calls == calls
