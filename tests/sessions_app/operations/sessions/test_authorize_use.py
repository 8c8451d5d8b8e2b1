"""One question behind every entry point: what each proof opens, and that nothing opens without a grant that
is in use.
"""

import hashlib
from dataclasses import replace

import pytest

from accounts.models import Identity
from broker.kernel.crypto import token_digest
from sessions_app.models import Cluster, EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.operations.sessions.authorize_use import authorize_use, holder_of, only
from sessions_app.operations.sessions.proofs.holder import ByHolder
from sessions_app.operations.sessions.proofs.proxy import ByProxy
from sessions_app.operations.sessions.proofs.token import ByToken
from tests.support.world import api_site, mcp_site


@pytest.fixture(params=["holder", "token", "proxy"])
def entry_point(request, world):
    """A grant that is in use, and the proof by which its holder comes."""
    if request.param == "holder":
        grant = world.grant()
        return grant, ByHolder(grant.holder_id, "web-1", None, world.now)
    if request.param == "token":
        mcp_site.add_desk(world, 9000)
        grant = mcp_site.grant_unseen(world)
        return grant, ByToken(token_digest(mcp_site.token_of(grant, world)), "desk")
    api_site.add_site(world)
    grant = api_site.grant_on_site(world)
    key = hashlib.sha256(api_site.PROXY_KEY.encode()).digest()
    return grant, ByProxy(token_digest(api_site.token_of(grant, world)), key, "tickets-api")


def test_a_proof_opens_its_grant_with_all_that_a_use_is(entry_point):
    grant, proof = entry_point
    use = only(authorize_use(by=proof))
    target = grant.targets.get(name=use.target.name)
    assert (use.grant_id, use.grant_ref, use.mark) == (grant.pk, grant.ref, grant.mark)
    assert (use.expires_at, use.finish_seconds) == (grant.expires_at, grant.finish_seconds)
    assert (use.cluster, use.target.id, use.target.address) == (grant.cluster.name, target.pk, target.address)
    assert (holder_of(use).name, holder_of(use).id) == (grant.holder.username, grant.holder_id)


@pytest.mark.parametrize("shut", ["ended", "silent", "disabled", "removed"])
def test_nothing_opens_when_the_grant_is_not_in_use(entry_point, now, shut):
    grant, proof = entry_point
    assert authorize_use(by=proof)
    if shut == "ended":
        end_grant(grant_id=grant.pk, actor=None, reason=EndReason.REVOKED, now=now)
    elif shut == "silent":
        Grant.objects.filter(pk=grant.pk).update(heartbeat_due_at=now)
    elif shut == "disabled":
        Identity.objects.filter(pk=grant.holder.owner_id or grant.holder_id).update(is_active=False)
    else:
        Cluster.objects.filter(pk=grant.cluster_id).update(removed_at=now)
    assert authorize_use(by=proof) == []


def test_what_libpq_would_not_read_to_its_end_opens_nothing(entry_point):
    _, proof = entry_point
    for name in ("target_name", "cluster"):
        if hasattr(proof, name):
            assert authorize_use(by=replace(proof, **{name: getattr(proof, name) + "\0"})) == []


def test_more_than_one_is_none():
    assert only([]) is None
    assert only(["a"]) == "a"
    assert only(["a", "b"]) is None
