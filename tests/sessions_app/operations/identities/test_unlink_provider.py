"""Taking a link to the identity provider away."""

import pytest
from django.test import Client

from accounts.models import ProviderLink
from accounts.operations.link_provider import link_provider
from broker.kernel.errors import Forbidden, NotFound
from sessions_app.models import Notice
from sessions_app.operations.identities.unlink_provider import unlink_provider
from tests.support.world.acts import events, last


def linked(world):
    link_provider(issuer="https://id.example.com", subject="u1", email="alice@example.com", now=world.now)


def signed_in(person) -> Client:
    client = Client()
    client.force_login(person, backend="accounts.backends.PasswordBackend")
    return client


def test_the_link_goes_and_every_session_with_it(world):
    linked(world)
    desk, phone, other = signed_in(world.alice), signed_in(world.alice), signed_in(world.bob)
    assert unlink_provider(identity_id=world.alice.pk, actor=world.admin, now=world.now) == world.alice
    assert not ProviderLink.objects.exists()
    assert [client.get("/").status_code for client in (desk, phone, other)] == [302, 302, 200]
    entry = last("identity.unlinked", "alice")
    assert (entry.actor, entry.data) == (
        "admin",
        {"issuer": "https://id.example.com", "subject": "u1", "email": "alice@example.com"},
    )
    assert Notice.objects.get(identity=world.alice, event="identity.unlinked").subject.startswith(
        "You were unlinked"
    )
    # Who comes in afterwards stays in.
    world.alice.refresh_from_db()
    assert signed_in(world.alice).get("/").status_code == 200


def test_only_an_administrator_unlinks_and_only_who_is_linked(world):
    linked(world)
    for actor in (world.alice, world.bob, world.robot):
        with pytest.raises(Forbidden):
            unlink_provider(identity_id=world.alice.pk, actor=actor, now=world.now)
    for identity_id in (world.bob.pk, 0):
        with pytest.raises(NotFound):
            unlink_provider(identity_id=identity_id, actor=world.admin, now=world.now)
    assert ProviderLink.objects.count() == 1


def test_it_goes_on_when_the_record_refuses(live_world, owner_connection):
    linked(live_world)
    client = signed_in(live_world.alice)
    owner_connection.execute("REVOKE EXECUTE ON FUNCTION audit_append_at_commit FROM stint_app")
    unlink_provider(identity_id=live_world.alice.pk, actor=live_world.admin, now=live_world.now)
    assert client.get("/").status_code == 302
    assert "identity.unlinked" not in events()
