"""The one answer to: may whoever has this token use this target now?"""

import hashlib

import pytest
from django.db import connection

from broker.audit.standing import RecordContradicted, write_standing
from sessions_app.models import Cluster, CommandSetVersion, Grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, only
from sessions_app.operations.sessions.proofs.proxy import ByProxy
from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.kinds import decide
from tests.sessions_app.operations.sessions.proofs.test_holder import copy_with
from tests.support.world.api_site import PROXY_KEY, add_site, grant_on_site, token_of
from tests.support.world.ground import lose


@pytest.fixture
def site(world):
    add_site(world)
    return world


@pytest.fixture
def grant(site):
    return grant_on_site(site)


@pytest.fixture
def token(site, grant):
    return token_of(grant, site)


def ask(token, *, key=PROXY_KEY, target="tickets-api"):
    digest, proxy_digest = hashlib.sha256(token.encode()).hexdigest(), hashlib.sha256(key.encode()).digest()
    return only(authorize_use(by=ByProxy(digest, proxy_digest, target)))


def test_a_token_opens_the_target_of_its_grant_with_the_grants_commands(grant, token):
    use = ask(token)
    assert (use.grant_ref, use.holder, use.cluster) == (grant.ref, "alice", "tickets")
    assert (use.target.name, use.session_id, use.jkt) == ("tickets-api", None, "")
    assert isinstance(decide(use.compiled, "GET /tickets/T-42"), Allowed)
    assert isinstance(decide(use.compiled, "GET /tickets/T-43"), Refused)


def test_another_token_proxy_or_target_opens_nothing(token):
    assert ask(token)
    assert ask(token + "x") is None
    assert ask(token, key=PROXY_KEY + "x") is None
    assert ask(token, key="") is None
    for odd in ("tickets", "Tickets-api", "", "%", "tickets-api' OR '1'='1", "tickets-api\n", "é"):
        assert ask(token, target=odd) is None


def test_a_new_token_ends_the_one_before(site, grant, token):
    assert ask(token_of(grant, site))
    assert ask(token) is None


def test_the_deadline_holds_although_no_message_ever_came(grant, token):
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE sessions_app_grant SET expires_at = clock_timestamp() WHERE id = %s", [grant.pk]
        )
    assert ask(token) is None
    assert Grant.objects.get(pk=grant.pk).state == "active"


@pytest.mark.parametrize(
    "loss",
    [
        "grant ended",
        "token over",
        "holder silent",
        "holder disabled",
        "cluster removed",
        "cluster of another kind",
        "target removed",
    ],
)
def test_what_takes_the_ground_away_takes_the_use_away(token, grant, loss):
    assert ask(token)
    lose(grant, loss)
    assert not ask(token)


def test_a_machines_token_dies_with_its_owners_account(site):
    asked = {"cluster": "tickets", "command_set": "close-ticket", "parameters": {"ticket": "T-1"}}
    request = site.decide(site.request(site.robot, **asked))
    grant = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=site.now)
    token = token_of(grant, site)
    assert ask(token)
    lose(grant, "owner disabled")
    assert ask(token) is None


def test_a_proxy_key_that_was_changed_is_good_no_longer(site, token):
    other = "another-key-of-the-same-proxy-0123456789"
    cluster = site.catalog["clusters/tickets.yaml"]
    site.apply({"clusters/tickets.yaml": cluster.replace(PROXY_KEY, other)})
    assert ask(token) is None
    assert ask(token, key=other)


@pytest.mark.parametrize("sealed", [b"", b"not sealed by us at all"])
def test_a_cluster_without_a_proxy_key_opens_to_nobody(token, sealed):
    Cluster.objects.filter(name="tickets").update(sealed_connection=sealed)
    for key in ("", PROXY_KEY):
        assert ask(token, key=key) is None


def test_a_grant_that_can_not_be_read_opens_nothing(site, grant):
    bad = CommandSetVersion.objects.create(
        command_set=grant.command_set_version.command_set,
        number=50,
        source="",
        document={"kind": "http"},
        digest="broken",
        created_at=site.now,
    )
    assert ask(token_of(copy_with(grant, command_set_version_id=bad.pk), site)) is None


def test_a_record_that_contradicts_its_checkpoints_lets_nothing_be_used(token):
    write_standing("An older backup was restored.")
    with pytest.raises(RecordContradicted):
        ask(token)
