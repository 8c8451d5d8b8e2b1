"""What a holder who is signed in to the pages can have a gateway run, asked when it is ordered and when it is
claimed.
"""

import datetime as dt

import pytest

from sessions_app.operations.sessions.proofs.page import uses_from_page
from tests.sessions_app.operations.test_kubernetes_grants import cluster, kube, started  # noqa: F401
from tests.support.world.ground import lose


@pytest.fixture
def grant(kube):  # noqa: F811
    return started(kube)


def ask(grant, now, **changes):
    known = {
        "holder_id": grant.holder_id,
        "kind": grant.cluster.kind,
        "target": "prod-1",
        "grant_ref": grant.ref,
        "now": now,
    }
    return uses_from_page(**{**known, **changes})


def test_a_holder_uses_their_own_grant_with_its_account_and_without_a_token(grant, world):
    (use,) = ask(grant, world.now)
    assert (use.grant_id, use.holder, use.target.name, use.credential_id) == (
        grant.pk,
        "alice",
        "prod-1",
        None,
    )
    own = use.place.parameters.token.get_secret_value()
    assert own
    assert own not in repr(use)


def test_nobody_else_and_nowhere_else(grant, world):
    assert not ask(grant, world.now, holder_id=world.bob.pk)
    assert not ask(grant, world.now, target="web-1")
    assert not ask(grant, world.now, grant_ref="GR-0000")
    for kind in ("ssh", "http", "postgres", "mcp", "of-somebody-else"):
        assert not ask(grant, world.now, kind=kind)


def test_on_a_host_it_is_what_a_key_would_prove(world):
    grant = world.grant()
    (use,) = ask(grant, world.now, target="web-1")
    assert (use.grant_id, use.place.target.name) == (grant.pk, "web-1")


@pytest.mark.parametrize(
    "loss",
    [
        "grant ended",
        "grant held",
        "holder disabled",
        "cluster removed",
        "reached directly",
        "target moved",
        "nothing made",
    ],
)
def test_what_takes_the_ground_away_takes_the_use_away(grant, world, loss):
    assert ask(grant, world.now)
    lose(grant, loss)
    assert not ask(grant, world.now)


def test_at_its_deadline_it_is_over(grant):
    assert not ask(grant, grant.expires_at)
    assert ask(grant, grant.expires_at - dt.timedelta(seconds=1))
