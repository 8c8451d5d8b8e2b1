"""An address that an administrator changed, and who it signs in."""

import pytest

from accounts.models import Identity
from accounts.operations.confirm_email import AddressChanged, confirm_email
from accounts.operations.link_provider import NotLinked, link_provider
from broker.kernel.errors import NotFound
from sessions_app.operations.identities.change_identity import change_identity
from tests.support.world.acts import events, last

NEW = "bob@elsewhere.example"


@pytest.fixture
def moved(world) -> Identity:
    """Bob, whose address an administrator has changed."""
    return change_identity(identity_id=world.bob.pk, name="Bob", email=NEW, actor=world.admin, now=world.now)


def link(world, email=NEW, subject="u1") -> Identity:
    return link_provider(issuer="https://id.example.com", subject=subject, email=email, now=world.now)


def test_an_administrator_does_not_become_another_by_giving_them_an_address_of_their_own(world, moved):
    for email in (NEW, "bob@example.com"):
        with pytest.raises(NotLinked):
            link(world, email)
    assert "identity.linked" not in events("bob")


def test_once_its_owner_has_confirmed_it_the_provider_may_name_them_by_it(world, moved):
    confirm_email(identity_id=moved.pk, email=NEW, actor=world.bob, now=world.now)
    assert last("identity.changed", "bob").data == {"confirmed": NEW}
    confirm_email(identity_id=moved.pk, email=NEW, actor=world.bob, now=world.now)
    assert len([event for event in events("bob") if event == "identity.changed"]) == 2
    assert link(world) == world.bob


def test_an_account_that_was_moved_along_has_to_be_confirmed_too(world):
    Identity.objects.filter(pk=world.dora.pk).update(email="bob@example.com", is_active=False)
    change_identity(identity_id=world.bob.pk, name="Bob", email=NEW, actor=world.admin, now=world.now)
    Identity.objects.filter(pk=world.dora.pk).update(is_active=True)
    Identity.objects.filter(pk=world.bob.pk).update(is_active=False)
    with pytest.raises(NotLinked):
        link(world)


def test_nobody_confirms_for_another_nor_what_they_have_not_read(world, moved):
    for who in (world.admin, world.alice):
        with pytest.raises(NotFound):
            confirm_email(identity_id=moved.pk, email=NEW, actor=who, now=world.now)
    with pytest.raises(AddressChanged):
        confirm_email(identity_id=moved.pk, email="bob@example.com", actor=world.bob, now=world.now)
    assert Identity.objects.get(pk=moved.pk).email_unconfirmed
