"""Who gets the token of a grant, and what it is."""

import pytest

from broker.audit.models import AuditEntry
from broker.kernel.crypto import token_digest
from broker.kernel.errors import InvalidInput, NotFound
from sessions_app.models import EndReason, Grant, GrantCredential
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.issue_http_token import NotItsHolder, NotOverHTTP, issue_http_token
from sessions_app.operations.grants.provision_grant import provision_grant
from tests.support.world.acts import fresh, last
from tests.support.world.api_site import add_site, grant_on_site


@pytest.fixture
def site(world):
    add_site(world)
    return world


def issue(grant, world, **changes):
    return issue_http_token(**{"grant_id": grant.pk, "actor": world.alice, "now": world.now, **changes})


def test_its_text_is_shown_once_and_only_its_digest_is_kept(site):
    grant = grant_on_site(site)
    made, text = issue(grant, site)
    assert text.startswith("sgt_")
    assert made.digest == token_digest(text)
    entry = last("credential.issued", grant.ref)
    assert entry.actor == "alice"
    for stored in AuditEntry.objects.values_list("body", flat=True):
        assert text not in stored
    assert GrantCredential.objects.get().digest != text


def test_a_grant_has_one_token(site):
    grant = grant_on_site(site)
    first, _ = issue(grant, site)
    second, _ = issue(grant, site)
    assert fresh(first).revoked_at == site.now
    assert second.revoked_at is None


def test_only_its_holder_gets_it_and_who_owns_the_machine_that_holds_it(site):
    grant = grant_on_site(site)
    for who in (site.bob, site.admin):
        with pytest.raises(NotItsHolder):
            issue(grant, site, actor=who)
    with pytest.raises(NotFound):
        issue(grant, site, actor=site.charlie)
    request = site.decide(
        site.request(site.robot, cluster="tickets", command_set="close-ticket", parameters={"ticket": "T-1"})
    )
    held_by_robot = provision_grant(grant_id=Grant.objects.get(request=request).pk, now=site.now)
    assert issue(held_by_robot, site)
    assert issue(held_by_robot, site, actor=site.robot)


def test_a_grant_that_is_not_in_use_or_of_another_kind_has_none(site):
    grant = grant_on_site(site)
    with pytest.raises(GrantIsOver):
        issue(grant, site, now=grant.expires_at)
    Grant.objects.filter(pk=grant.pk).update(held_at=site.now)
    with pytest.raises(GrantIsOver, match="is suspended after too many refused"):
        issue(grant, site)
    Grant.objects.filter(pk=grant.pk).update(held_at=None)
    end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=site.now)
    with pytest.raises(GrantIsOver):
        issue(grant, site)
    with pytest.raises(NotOverHTTP):
        issue(site.grant(), site)


def test_a_thumbprint_is_one_of_sha_256(site):
    grant = grant_on_site(site)
    assert issue(grant, site, jkt="a" * 43)[0].jkt == "a" * 43
    for odd in ("a", "a" * 42, "a" * 44, "a" * 42 + "=", "é" * 43):
        with pytest.raises(InvalidInput):
            issue(grant, site, jkt=odd)
