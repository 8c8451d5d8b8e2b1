"""The credential that the gateway adds for a target. It is never shown to holders, and never logged.

Source: RFC 7617 (Basic), RFC 6749 §4.4 (client credentials), RFC 6750 §2.1.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus
from weakref import WeakValueDictionary

from sessions_app.connectors.base import TargetSpec
from sessions_app.connectors.http.parameters import OAuth, parameters_of
from sessions_app.gateways.core.client import NotReached
from sessions_app.gateways.http.upstream import Upstream

# In seconds. A token is replaced this long before it expires. A token without an expiry is used for this
# long.
EARLY_S, UNSAID_S = 30.0, 300.0
LONGEST_S = 86_400.0
# Minimum seconds between two token requests that were caused by a refused token.
KEPT_S = 10.0
# Shorter secrets are not searched for, because they would occur in headers by chance.
SHORTEST = 6


@dataclass(frozen=True, slots=True)
class Injected:
    """The credential to add to a request: headers by lowercase name, and a name and value for the query.

    ``secrets`` are the strings that a response's headers must not contain in any encoding.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Token:
    text: str = field(repr=False)
    good_until: float


_NOTHING = Injected()


class Credentials:
    """Credentials of all targets, with the tokens fetched for them."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._tokens: dict[str, _Token] = {}
        # When a refused token was last dropped.
        self._dropped: dict[str, float] = {}
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def parameter_of(self, place: TargetSpec) -> str:
        """Return the name of the query parameter that is added; empty if there is none."""
        how = parameters_of(place).inject
        return how.query or "" if how else ""

    def refused(self, place: TargetSpec, injected: Injected) -> bool:
        """Record that a target refused a token, and return whether the next request will have a new one.

        If a target refuses every token, the same token is used for a while, so that not every request fetches
        a new one.
        """
        how = parameters_of(place).inject
        if how is None or how.oauth is None:
            return False
        key, now = _key_of(place, how.oauth), asyncio.get_running_loop().time()
        found = self._tokens.get(key)
        if found is not None and injected.headers == _bearing(found):
            if now < self._dropped.get(key, float("-inf")) + KEPT_S:
                return False
            self._dropped[key] = now
            del self._tokens[key]
        return True

    async def of(self, place: TargetSpec) -> Injected:
        """Return the credential to add for a target. Raises NotReached."""
        how = parameters_of(place).inject
        if how is None:
            return _NOTHING
        value = how.value.get_secret_value() if how.value else ""
        if how.header:
            return Injected({how.header.lower(): value}, "", _texts(value, value.rpartition(" ")[2]))
        if how.query:
            return Injected({}, f"{how.query}={quote(value, safe='')}", _texts(value))
        if how.basic:
            password = how.basic.password.get_secret_value()
            pair = _basic(how.basic.user, password)
            return Injected({"authorization": f"Basic {pair}"}, "", _texts(pair, password))
        if how.oauth is None:
            return _NOTHING
        token = await self._token(place, how.oauth)
        return Injected(_bearing(token), "", _texts(token.text))

    async def _token(self, place: TargetSpec, how: OAuth) -> _Token:
        key = _key_of(place, how)
        lock = self._locks.setdefault(key, asyncio.Lock())
        async with lock:
            found = self._tokens.get(key)
            now = asyncio.get_running_loop().time()
            if found is None or found.good_until <= now:
                found = self._tokens[key] = await self._fetched(place, how, now)
            return found

    async def _fetched(self, place: TargetSpec, how: OAuth, now: float) -> _Token:
        form = {"grant_type": "client_credentials", **({"scope": how.scope} if how.scope else {})}
        # The client ID and secret are form-encoded first. Source: RFC 6749 §2.3.1.
        pair = _basic(quote_plus(how.client_id), quote_plus(how.client_secret.get_secret_value()))
        try:
            said = await self._upstream.fetch(
                how.token_url,
                _trusting_too(parameters_of(place).ca),
                data=form,
                headers={"authorization": f"Basic {pair}", "accept": "application/json"},
            )
        except NotReached as error:
            raise NotReached(
                f"the token for {place.target.name} can't be fetched: {error}", sent=False
            ) from error
        text = said.get("access_token") if isinstance(said, dict) else None
        kind = said.get("token_type") if isinstance(said, dict) else None
        if (
            not isinstance(text, str)
            or not text
            or not text.isascii()
            or not text.isprintable()
            or str(kind).lower() != "bearer"
        ):
            raise NotReached(
                f"the token for {place.target.name} can't be fetched: the response has no bearer token",
                sent=False,
            )
        return _Token(text, now + _seconds(said.get("expires_in")) - EARLY_S)


def _seconds(lasts: object) -> float:
    """Return how long to use a token, given its declared lifetime in seconds."""
    if not isinstance(lasts, int | float) or isinstance(lasts, bool):
        return UNSAID_S
    return float(lasts) if 0 <= lasts <= LONGEST_S else LONGEST_S * (lasts > 0)


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _bearing(token: _Token) -> dict[str, str]:
    return {"authorization": f"Bearer {token.text}"}


def _texts(*secrets: str) -> tuple[str, ...]:
    return tuple(text for text in dict.fromkeys(secrets) if len(text) >= SHORTEST)


def _key_of(place: TargetSpec, how: OAuth) -> str:
    words = (place.cluster, how.token_url, how.client_id, how.client_secret.get_secret_value(), how.scope)
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def _trusting_too(ca: str) -> ssl.SSLContext:
    """Return a context that trusts the system's certificates and the target's."""
    context = ssl.create_default_context()
    if ca:
        context.load_verify_locations(cadata=ca)
    return context
