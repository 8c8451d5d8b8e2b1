"""Tokens in use at a gateway, without a database."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.endpoint import Shared
from sessions_app.gateways.core.token_uses import TokenUses, TooManyAtOnce

USE: Any = SimpleNamespace(credential_id=1, target=SimpleNamespace(id=1))


class Opened(TokenUses[Any]):
    """Its only session is already open."""

    def __init__(self, closed: str, users: int = 0) -> None:
        absent: Any = None
        super().__init__(Shared(absent, absent, absent, "tested", lambda: closed, tries=absent), most=2)
        session: Any = SimpleNamespace(closed=False, users=[None] * users)
        self._open[1, 1] = session


def test_who_was_admitted_before_the_gateway_closed_gets_no_session_after_it():
    with pytest.raises(Unavailable, match="The gateway is stopping"):
        asyncio.run(Opened("the gateway is stopping").session_of(USE, "127.0.0.1"))


def test_a_token_is_used_for_only_so_many_requests_at_once():
    assert asyncio.run(Opened("", users=1).session_of(USE, "127.0.0.1")).users == [None]
    with pytest.raises(TooManyAtOnce):
        asyncio.run(Opened("", users=2).session_of(USE, "127.0.0.1"))
