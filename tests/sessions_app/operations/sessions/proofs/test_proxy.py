"""The one answer to: may whoever has this token use this target now?"""

from __future__ import annotations

import datetime as dt
import hashlib

import pytest
from django.db import connection

from broker.audit.standing import RecordContradicted, write_standing
from sessions_app.models import Cluster, EndReason, Grant, GrantCredential, Target
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.proofs.proxy import ByProxy
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.kinds import decide
from tests.support.world.api_site import PROXY_KEY, add_site, grant_on_site, token_of


@pytest.fixture
def site(world):
    add_site(world)
    return world


def ask(token, *, key=PROXY_KEY, target="tickets-api"):
    digest, proxy_digest = hashlib.sha256(token.encode()).hexdigest(), hashlib.sha256(key.encode()).digest()
    return only(authorize_use(by=ByProxy(digest, proxy_digest, target)))


def test_a_token_opens_the_target_of_its_grant_with_the_grants_commands(site):
    grant = grant_on_site(site)
    use = ask(token_of(grant, site))
    assert (use.grant_ref, use.holder, use.cluster) == (grant.ref, "alice", "tickets")
    assert (use.target.name, use.session_id, use.jkt) == ("tickets-api", None, "")
    assert isinstance(decide(use.compiled, "GET /tickets/T-42"), Allowed)
    assert isinstance(decide(use.compiled, "GET /tickets/T-43"), Refused)


def test_another_token_proxy_or_target_opens_nothing(site):
    token = token_of(grant_on_site(site), site)
    assert ask(token)
    assert ask(token + "x") is None
    assert ask(token, key=PROXY_KEY + "x") is None
    assert ask(token, key="") is None
    for odd in ("tickets", "Tickets-api", "", "%", "tickets-api' OR '1'='1", "tickets-api\n", "é"):
        assert ask(token, target=odd) is None


def test_a_new_token_ends_the_one_before(site):
    grant = grant_on_site(site)
    first, second = token_of(grant, site), token_of(grant, site)
    assert ask(first) is None
    assert ask(second)


def test_the_deadline_holds_although_no_message_ever_came(site):
    grant = grant_on_site(site)
    token = token_of(grant, site)
    assert ask(token)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sessions_app_grant SET expires_at = clock_timestamp() WHERE id = %s", [grant.pk]
        )
    assert ask(token) is None
    assert Grant.objects.get(pk=grant.pk).state == "active"


def test_an_end_and_a_tokens_own_end_close_at_once(site):
    grant = grant_on_site(site)
    token = token_of(grant, site)
    GrantCredential.objects.update(expires_at=site.now - dt.timedelta(seconds=1))
    assert ask(token) is None
    GrantCredential.objects.update(expires_at=None)
    assert ask(token)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
    assert ask(token) is None


def test_who_was_silent_for_too_long_opens_nothing_although_nobody_has_ended_it_yet(site):
    grant = grant_on_site(site)
    token = token_of(grant, site)
    mine = Grant.objects.filter(pk=grant.pk)
    mine.update(heartbeat_due_at=grant.expires_at)
    assert ask(token)
    mine.update(heartbeat_due_at=grant.starts_at)
    assert ask(token) is None


def test_removed_and_disabled_things_open_nothing_at_once(site):
    token = token_of(grant_on_site(site), site)
    for model, row, change, back in (
        (Target, {"name": "tickets-api"}, {"removed_at": site.now}, {"removed_at": None}),
        (Cluster, {"name": "tickets"}, {"removed_at": site.now}, {"removed_at": None}),
        (Cluster, {"name": "tickets"}, {"kind": "ssh"}, {"kind": "http"}),
        (type(site.alice), {"pk": site.alice.pk}, {"is_active": False}, {"is_active": True}),
    ):
        model.objects.filter(**row).update(**change)
        assert ask(token) is None
        model.objects.filter(**row).update(**back)
        assert ask(token)


def test_a_machines_token_dies_with_its_owners_account(site):
    request = site.decide(
        site.request(site.robot, cluster="tickets", command_set="close-ticket", parameters={"ticket": "T-1"})
    )
    from sessions_app.operations.grants.provision_grant import provision_grant

    grant = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=site.now)
    token = token_of(grant, site)
    assert ask(token)
    type(site.alice).objects.filter(pk=site.alice.pk).update(is_active=False)
    assert ask(token) is None


def test_a_proxy_key_that_was_changed_is_good_no_longer(site):
    token = token_of(grant_on_site(site), site)
    other = "another-key-of-the-same-proxy-0123456789"
    site.catalogue["clusters/tickets.yaml"] = site.catalogue["clusters/tickets.yaml"].replace(
        PROXY_KEY, other
    )
    site.apply()
    assert ask(token) is None
    assert ask(token, key=other)


def test_a_cluster_without_a_proxy_key_opens_to_nobody(site):
    token = token_of(grant_on_site(site), site)
    Cluster.objects.filter(name="tickets").update(sealed_connection=b"")
    for key in ("", PROXY_KEY):
        assert ask(token, key=key) is None
    Cluster.objects.filter(name="tickets").update(sealed_connection=b"not sealed by us at all")
    assert ask(token) is None


def test_a_grant_that_can_not_be_read_opens_nothing(site):
    from sessions_app.models import CommandSetVersion

    grant = grant_on_site(site)
    token = token_of(grant, site)
    bad = CommandSetVersion.objects.create(
        command_set=grant.command_set_version.command_set, number=50, source="", document={"kind": "http"}, digest="broken",
        created_at=site.now,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_user")
    from tests.sessions_app.operations.sessions.proofs.test_holder import copy_with

    broken = copy_with(grant, command_set_version_id=bad.pk)
    broken_token = token_of(broken, site)
    assert ask(token)
    assert ask(broken_token) is None


def test_a_record_that_contradicts_its_checkpoints_lets_nothing_be_used(site):
    token = token_of(grant_on_site(site), site)
    assert ask(token)
    write_standing("An older backup was restored.")
    with pytest.raises(RecordContradicted):
        ask(token)
