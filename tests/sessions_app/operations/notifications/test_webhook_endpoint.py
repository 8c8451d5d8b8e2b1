"""An endpoint for webhooks, between what a document says and what is stored."""

import pytest
from django.db import transaction

from broker.kernel.crypto import CannotDecrypt
from broker.kernel.errors import NotFound
from sessions_app.models import WebhookEndpoint
from sessions_app.operations.identities.disable_identity import disable_identity
from sessions_app.operations.notifications.webhook_endpoint import (
    check_address,
    endpoint_data,
    lock_endpoint,
    owners_of,
    put_secret,
    read_secret,
    set_owners,
    signing_keys,
)
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.policies import Who
from sessions_app.policy.webhooks import WebhookDocument, key_of_secret
from tests.support.servers.receiver import SECRET, endpoint, webhook_file
from tests.support.world.acts import change

OTHER = "whsec_" + "QUJD" * 10


@pytest.fixture
def chat(world) -> WebhookEndpoint:
    change(world, webhook_file(None))
    return endpoint()


@pytest.mark.parametrize("given", [None, "(stored)", SECRET])
def test_what_says_nothing_new_keeps_the_stored_secret(chat, given):
    assert read_secret(given, chat, on_server=False) is None


@pytest.mark.parametrize("given", [None, "(stored)"])
def test_a_new_endpoint_gets_a_secret_of_its_own(given):
    keys = {key_of_secret(read_secret(given, None, on_server=False)) for _ in range(2)}
    assert [len(key) for key in keys] == [32, 32]


@pytest.mark.parametrize(
    ("given", "says"),
    [("secret", "whsec_"), ({"env": "PATH"}, "only `manage.py apply` can read"), (7, "must be the value")],
)
def test_what_is_no_secret_is_refused_with_what_to_do(chat, given, says):
    with pytest.raises(DocumentError, match=says):
        read_secret(given, chat, on_server=False)


def test_nothing_is_signed_with_what_was_sealed_under_another_key_and_it_can_be_given_again(chat, settings):
    settings.SECRET_KEY = "another-key-than-that-under-which-it-was-stored"
    with pytest.raises(CannotDecrypt):
        signing_keys(chat, None)
    put_secret(chat, read_secret(SECRET, chat, on_server=False))
    assert signing_keys(chat, None) == [key_of_secret(SECRET)]


def test_an_address_inside_is_refused_where_the_settings_do_not_allow_it(settings):
    document = WebhookDocument.model_validate(
        {"name": "chat", "url": "http://127.0.0.1:9/x", "events": ["grant.ended"]}
    )
    with pytest.raises(DocumentError):
        check_address(document)
    settings.WEBHOOK_NETWORKS = ["127.0.0.0/8"]
    check_address(document)


def test_it_is_shown_as_its_file_says_it_but_for_the_secret(world):
    change(
        world, webhook_file(None, owners={"groups": ["approvers"], "identities": ["alice"]}, summary="To us")
    )
    assert endpoint_data(endpoint()) == {
        "name": "chat",
        "summary": "To us",
        "url": "https://hooks.example.com/stint",
        "scope": "everything",
        "events": ["grant.revoking", "request.created"],
        "secret": "(stored)",
        "owners": {"groups": ["approvers"], "identities": ["alice"]},
    }


def test_its_owners_are_told_once_each_and_administrators_where_none_is_there(world, chat):
    assert owners_of(chat) == [world.admin]
    set_owners(chat, Who(groups=("approvers",), identities=("bob", "alice")))
    assert {one.username for one in owners_of(chat)} == {"alice", "bob", "dora"}
    assert len(owners_of(chat)) == 3
    for person in (world.alice, world.bob, world.dora):
        disable_identity(identity_id=person.pk, actor=world.admin, now=world.now)
    assert owners_of(chat) == [world.admin]


def test_it_is_locked_for_who_looks_after_it_and_to_all_others_it_is_not_there(live_world, owner_connection):
    change(live_world, webhook_file(None, owners={"groups": ["approvers"]}))
    pk = endpoint().pk
    with transaction.atomic():
        assert lock_endpoint(pk, live_world.bob).pk == pk
        free = "SELECT FROM sessions_app_webhookendpoint FOR NO KEY UPDATE SKIP LOCKED"
        assert owner_connection.execute(free).fetchall() == []
        for other in (live_world.charlie, live_world.robot):
            with pytest.raises(NotFound, match="Webhook not found"):
                lock_endpoint(pk, other)
    WebhookEndpoint.objects.update(removed_at=live_world.now)
    with transaction.atomic(), pytest.raises(NotFound):
        lock_endpoint(pk, live_world.admin)
