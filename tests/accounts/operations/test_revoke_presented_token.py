"""Giving a token up by knowing it."""

import datetime as dt

import pytest

from accounts.operations.create_token import create_token
from accounts.operations.revoke_presented_token import revoke_presented_token
from broker.kernel.errors import NotFound
from tests.support.world.acts import last


def test_whoever_has_a_token_revokes_it_once(world):
    token, text = create_token(
        identity_id=world.alice.pk,
        label="ci",
        scopes=["read"],
        lifetime=dt.timedelta(days=1),
        actor=world.alice,
        now=world.now,
    )
    assert not revoke_presented_token(text=text, now=world.now).is_valid(world.now)
    assert last("identity.token_revoked", "alice").data == {"token_id": token.pk}
    for again in (text, "stint_nothing", ""):
        with pytest.raises(NotFound):
            revoke_presented_token(text=again, now=world.now)
