"""Changing what somebody is called and told at, and who counts as one person then."""

import pytest
from django.core import mail

from accounts.models import Identity
from accounts.operations.create_identity import create_identity
from accounts.queries import same_person
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import Notice
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.identities.change_identity import (
    WouldBeOnePerson,
    WouldBeTwoPeople,
    change_identity,
)
from sessions_app.operations.identities.disable_identity import OnlyAdministrators
from sessions_app.operations.notifications.send_notices import send_notices
from sessions_app.operations.requests.decide_request import MayNotDecide
from tests.support.world.acts import events, fresh, last
from tests.support.world.world import SETUP


def change(world, who, *, actor=None, **changes):
    who.refresh_from_db()
    what = {"name": who.name, "email": who.email, **changes}
    return change_identity(identity_id=who.pk, actor=actor or world.admin, now=world.now, **what)


def second_account(world, **more):
    """Another account of Alice's, by her mail address, in the group that approves."""
    found = create_identity(
        username="alice-two",
        name="Alice Two",
        email="ALICE@example.com",
        groups=["approvers"],
        actor=SETUP,
        now=world.now,
        **more,
    )
    world.catalog["groups/approvers.yaml"] = "name: approvers\nmembers: [bob, dora, alice-two]\n"
    return found


def one_person(one, other) -> bool:
    return Identity.objects.filter(same_person(Identity.objects.get(pk=one.pk)), pk=other.pk).exists()


def test_an_administrator_changes_both_and_the_record_has_before_and_after(world):
    changed = change(world, world.alice, name=" Alice  Liddell ", email="liddell@example.com")
    assert (changed.name, changed.email) == ("Alice Liddell", "liddell@example.com")
    assert Identity.objects.get(pk=world.alice.pk).email == "liddell@example.com"
    assert last("identity.changed", "alice").data == {
        "name": {"before": "Alice", "now": "Alice Liddell"},
        "email": {"before": "alice@example.com", "now": "liddell@example.com"},
    }
    change(world, world.alice)
    assert events("alice").count("identity.changed") == 1


def test_nobody_else_changes_them_not_even_their_own(world):
    for who in (world.alice, world.bob):
        with pytest.raises(OnlyAdministrators):
            change(world, world.alice, actor=who, email="x@example.com")
    with pytest.raises(NotFound):
        change_identity(identity_id=0, name="", email="", actor=world.admin, now=world.now)


def test_who_it_is_is_told_at_the_old_address_and_at_the_new_one(world):
    change(world, world.alice, email="liddell@example.com")
    notice = Notice.objects.get(identity=world.alice)
    assert notice.subject == "Admin changed the mail address of alice"
    assert "Mail address: alice@example.com → liddell@example.com" in notice.body
    send_notices(now=lambda: world.now)
    (message,) = mail.outbox
    assert message.recipients() == ["liddell@example.com", "alice@example.com"]
    change(world, world.alice, name="Alice L.")
    send_notices(now=lambda: world.now)
    assert mail.outbox[1].recipients() == ["liddell@example.com"]


def test_two_accounts_of_one_person_stay_one_person_whichever_is_changed(world):
    second = second_account(world)
    request = world.request()
    for changed in (second, world.alice):
        change(world, changed, email=f"{changed.username}@elsewhere.example")
        assert one_person(world.alice, second)
        assert one_person(second, world.alice)
        with pytest.raises(MayNotDecide, match="the same person"):
            world.decide(request, Identity.objects.get(pk=second.pk))
    assert last("identity.changed", "alice-two").data == {
        "email": {"before": "alice-two@elsewhere.example", "now": "alice@elsewhere.example"}
    }
    assert "alice-two, which had the same address" in Notice.objects.filter(identity=second).latest("pk").body


def test_without_an_address_one_person_does_not_become_two(world):
    second_account(world)
    with pytest.raises(WouldBeTwoPeople, match="alice-two and alice count as one person"):
        change(world, world.alice, email="")
    assert Identity.objects.get(pk=world.alice.pk).email == "alice@example.com"


def test_an_account_that_is_disabled_does_not_become_another_person_meanwhile(world):
    second = second_account(world)
    Identity.objects.filter(pk=second.pk).update(is_active=False)
    change(world, world.alice, email="liddell@example.com")
    Identity.objects.filter(pk=second.pk).update(is_active=True)
    assert one_person(world.alice, second)


def test_the_address_of_somebody_else_is_taken_only_by_who_says_that_they_are_one_person(world):
    request = world.request()
    with pytest.raises(WouldBeOnePerson, match="address is already used by bob"):
        change(world, world.alice, email="BOB@example.com")
    assert not one_person(world.alice, world.bob)
    change(world, world.alice, email="BOB@example.com", one_person=True)
    with pytest.raises(MayNotDecide):
        world.decide(request)
    assert "The same address is used by bob" in Notice.objects.filter(identity=world.alice).latest("pk").body


def test_an_approval_that_was_given_by_who_is_one_person_now_counts_no_more(world):
    grant = world.grant(start=False)
    change(world, world.bob, email="alice@example.com", one_person=True)
    provision_grant(grant_id=grant.pk, now=world.now)
    assert fresh(grant).state == "ended"
    assert "approvals are no longer valid" in grant.end_note


def test_a_machine_has_a_name_alone_and_its_owner_is_told(world):
    change(world, world.robot, name="Night robot")
    assert Notice.objects.get(identity=world.alice).subject == "Admin changed the name of robot"
    with pytest.raises(InvalidInput, match="their owner is notified"):
        change(world, world.robot, email="robot@example.com")


@pytest.mark.parametrize(
    "changes", [{"email": "alice"}, {"email": "a@b\n.example"}, {"name": "x" * 201}, {"name": "a\0b"}]
)
def test_what_is_no_name_or_address_is_refused(world, changes):
    with pytest.raises(InvalidInput):
        change(world, world.alice, **changes)
    assert "identity.changed" not in events("alice")
