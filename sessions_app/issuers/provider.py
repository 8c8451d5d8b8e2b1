"""Sign people in through an OpenID Connect provider: authorization codes, with PKCE.

Sources: OpenID Connect Core 1.0 section 3.1, Discovery 1.0, RFC 6749, RFC 7636, RFC 9207, RFC 9700.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import hmac
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args
from urllib.parse import quote_plus, urlencode, urlsplit

from broker.kernel.networks import Network
from sessions_app.issuers.fetch import CannotFetch, fetch_json
from sessions_app.issuers.keys import AGAIN, KEPT, PATIENCE, Keyring
from sessions_app.issuers.tokens import NoToken, read_unproven, signature
from sessions_app.policy.trust import AHEAD, Algorithm, seconds_of

# The ID token is issued when the code is redeemed, so an older token is from another sign-in.
OLDEST = dt.timedelta(minutes=10)
LONGEST_CODE = 4096
_LONGEST_SUBJECT = 255
# How many sign-ins of one process can wait for the provider. A hanging provider must not block all threads.
_SEATS = 2
_WELL_KNOWN = "/.well-known/openid-configuration"


class NotProven(Exception):  # Named for its meaning, so without the suffix Error.
    """The provider's response does not prove who signed in.

    The message gives the reason, and contains no part of a token.
    """


@dataclass(frozen=True, slots=True)
class Client:
    """Stint's registration at the provider, with the redirect URI for browsers."""

    issuer: str
    client_id: str
    secret: str = field(repr=False)
    redirect_uri: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The values that one sign-in sent and that its response must match.

    Only the session of one browser has these values.
    """

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)

    @classmethod
    def anew(cls) -> Asked:
        """Return new, unguessable random values."""
        return cls(*(secrets.token_urlsafe(32) for _ in range(3)))


@dataclass(frozen=True, slots=True)
class _Published:
    """The provider's metadata. It implements the ``Signer`` protocol of `issuers/keys.py`."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    names_itself: bool
    secret_in_header: bool
    at: float
    keys: None = None
    # All of these verify with a public key, because `none` and shared keys prove nothing.
    algorithms: Sequence[str] = get_args(Algorithm)


class Provider:
    """The identity provider of this installation.

    ``allowed`` lists internal networks that Stint can reach, also over http.
    """

    def __init__(
        self, client: Client, *, allowed: Sequence[Network] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client, self._allowed, self._clock = client, tuple(allowed), clock
        self._keyring = Keyring(allowed=allowed, clock=clock)
        self._known: _Published | None = None
        # Why the provider could not be reached, and when.
        self._failed: tuple[str, float] = ("", 0.0)
        self._seats = threading.BoundedSemaphore(_SEATS)

    def address(self, asked: Asked, *, max_age: int) -> str:
        """Return the address to send the browser to. Raises CannotFetch.

        ``max_age`` is the maximum time in seconds since the person last authenticated. It also makes the
        provider return that time (`auth_time`). 0 forces a new authentication. For providers that ignore 0,
        `prompt` has the same effect.
        """
        there = self._published().authorization_endpoint
        challenge = base64.urlsafe_b64encode(hashlib.sha256(asked.verifier.encode()).digest())
        sent = {
            "response_type": "code",
            "scope": "openid email",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "state": asked.state,
            "nonce": asked.nonce,
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
            "max_age": str(max_age),
            **({} if max_age else {"prompt": "login"}),
        }
        return f"{there}{'&' if urlsplit(there).query else '?'}{urlencode(sent)}"

    def claims(
        self, *, code: str, answered_by: str | None, asked: Asked, now: dt.datetime
    ) -> Mapping[str, Any]:
        """Redeem a code, and return the claims of the resulting ID token.

        ``answered_by`` is the `iss` of the response.

        Raises NotProven, CannotFetch.
        """
        published = self._published()
        named = answered_by == published.issuer if answered_by is not None else not published.names_itself
        if not named:
            raise NotProven("issuer mismatch in the authorization response")
        if not 1 <= len(code) <= LONGEST_CODE:
            raise NotProven("the response has no code")
        token = self._redeemed(published, code, asked)
        try:
            claims = read_unproven(token).claims
        except NoToken as error:
            raise NotProven(f"the token can't be read: {error}") from error
        self._check(claims, asked, now)
        with self._seat():
            for condition in signature(token, published, self._keyring):
                if not condition.met:
                    raise NotProven(f"the token fails the check “{condition.message}”")
        return claims

    def _redeemed(self, published: _Published, code: str, asked: Asked) -> str:
        client, authorization = self._client, ""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": client.redirect_uri,
            "code_verifier": asked.verifier,
        }
        if published.secret_in_header:
            pair = f"{quote_plus(client.client_id)}:{quote_plus(client.secret)}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": client.client_id, "client_secret": client.secret}
        try:
            with self._seat():
                answer = fetch_json(
                    published.token_endpoint, allowed=self._allowed, form=form, authorization=authorization
                )
        except CannotFetch as error:
            # The code was already used, or belongs to another client or sign-in (RFC 6749 section 5.2).
            if error.status in (400, 401, 403):
                raise NotProven(f"the provider rejected the code ({error.status})") from error
            raise
        token = answer.get("id_token")
        if not isinstance(token, str):
            raise NotProven("the provider returned no ID token")
        return token

    def _check(self, claims: Mapping[str, Any], asked: Asked, now: dt.datetime) -> None:
        """Check the claims as in OpenID Connect Core 1.0 section 3.1.3.7. Raises NotProven."""
        for met, message in self._conditions(claims, asked, now):
            if not met:
                raise NotProven(message)

    def _conditions(
        self, claims: Mapping[str, Any], asked: Asked, now: dt.datetime
    ) -> Iterator[tuple[bool, str]]:
        at, ahead, own = now.timestamp(), AHEAD.total_seconds(), self._client.client_id
        audience, party = claims.get("aud"), claims.get("azp")
        issued, ends, begins = (seconds_of(claims.get(name)) for name in ("iat", "exp", "nbf"))
        nonce, subject = claims.get("nonce"), claims.get("sub")
        authenticated = seconds_of(claims.get("auth_time"))
        yield claims.get("iss") == self._client.issuer, "issuer mismatch"
        yield (
            audience in (own, [own]) or (isinstance(audience, list) and own in audience and party == own),
            "audience mismatch",
        )
        yield party is None or party == own, "authorized party mismatch"
        yield ends is not None and ends > at, "the token has expired"
        fresh = issued is not None and at - OLDEST.total_seconds() <= issued <= at + ahead
        yield fresh, "the token was not issued during this sign-in"
        yield (
            "nbf" not in claims or (begins is not None and begins <= at + ahead),
            "the token is not valid yet",
        )
        yield (
            "auth_time" not in claims or (authenticated is not None and 0 <= authenticated <= at + ahead),
            "auth_time is not in the past",
        )
        same = isinstance(nonce, str) and nonce.isascii() and hmac.compare_digest(nonce, asked.nonce)
        yield same, "nonce mismatch"
        plain = isinstance(subject, str) and subject.isascii() and subject.isprintable()
        yield plain and 1 <= len(str(subject)) <= _LONGEST_SUBJECT, "the token has no subject"

    def _published(self) -> _Published:
        known = self._known
        if known is not None and self._clock() - known.at < KEPT:
            return known
        why, at = self._failed
        if why and self._clock() - at < AGAIN:
            raise CannotFetch(why)
        with self._seat():
            try:
                read = self._known = self._read()
            except CannotFetch as error:
                self._failed = (str(error), self._clock())
                raise
        return read

    def _read(self) -> _Published:
        issuer = self._client.issuer
        told = fetch_json(issuer.removesuffix("/") + _WELL_KNOWN, allowed=self._allowed)
        if told.get("issuer") != issuer:
            raise CannotFetch(
                f"issuer mismatch: {issuer} must match the metadata exactly, including a trailing /"
            )
        methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        if not isinstance(methods, list) or not {"client_secret_basic", "client_secret_post"} & {
            *map(str, methods)
        }:
            raise CannotFetch(f"{issuer} supports no known client authentication method")
        return _Published(
            issuer=issuer,
            authorization_endpoint=self._place(told, "authorization_endpoint"),
            token_endpoint=self._place(told, "token_endpoint"),
            jwks_uri=self._place(told, "jwks_uri"),
            names_itself=told.get("authorization_response_iss_parameter_supported") is True,
            secret_in_header="client_secret_basic" in methods,
            at=self._clock(),
        )

    def _place(self, told: Mapping[str, Any], name: str) -> str:
        there = told.get(name)
        schemes = ("https", "http") if self._allowed else ("https",)
        try:
            fit = (
                isinstance(there, str)
                and urlsplit(there).scheme in schemes
                and bool(urlsplit(there).hostname)
            )
        except ValueError:
            fit = False
        if not fit:
            raise CannotFetch(f"{self._client.issuer} has no https {name}")
        return str(there)

    @contextlib.contextmanager
    def _seat(self) -> Iterator[None]:
        if not self._seats.acquire(timeout=PATIENCE):
            raise CannotFetch(f"{self._client.issuer} is slow, and other sign-ins are already waiting for it")
        try:
            yield
        finally:
            self._seats.release()
