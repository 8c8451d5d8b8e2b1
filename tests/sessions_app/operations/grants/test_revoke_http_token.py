"""Giving the token of a grant up by knowing it."""

import pytest

from broker.kernel.errors import NotFound
from sessions_app.models import GrantState
from sessions_app.operations.grants.issue_http_token import issue_http_token
from sessions_app.operations.grants.revoke_http_token import revoke_http_token
from tests.support.world.acts import fresh, last
from tests.support.world.api_site import add_site, grant_on_site


def test_whoever_has_it_revokes_it_once_and_the_grant_goes_on(world):
    add_site(world)
    grant = grant_on_site(world)
    made, text = issue_http_token(grant_id=grant.pk, actor=world.alice, now=world.now)
    assert revoke_http_token(text=text, now=world.now).pk == made.pk
    assert last("credential.revoked", grant.ref).actor == "alice"
    assert fresh(grant).state == GrantState.ACTIVE
    for again in (text, "sgt_nothing"):
        with pytest.raises(NotFound):
            revoke_http_token(text=again, now=world.now)
