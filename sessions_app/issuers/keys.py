"""The keys of issuers. They are cached, and fetched again, with a rate limit, when a token names an unknown
key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

from joserfc import jwk
from joserfc.errors import JoseError

from broker.kernel.networks import Network
from sessions_app.issuers.fetch import CannotFetch, fetch_json

# Seconds for which fetched keys are cached.
KEPT = 600
# Minimum seconds between two requests to one issuer. A token can name any key, so an unknown name must not
# always trigger a request.
AGAIN = 30
# Seconds that a token waits for a request that another token started, and how many tokens may wait.
PATIENCE = 2.0
_SEATS = 3
_MOST_KEYS = 50
# NIST SP 800-131A: well-funded attackers can break shorter keys.
_SHORTEST_RSA = 2048
_KINDS: Mapping[str, type[jwk.RSAKey | jwk.ECKey | jwk.OKPKey]] = {
    "RSA": jwk.RSAKey,
    "EC": jwk.ECKey,
    "OKP": jwk.OKPKey,
}
_WELL_KNOWN = "/.well-known/openid-configuration"


class Signer(Protocol):
    """An issuer of tokens: its algorithms and keys.

    The keys are in ``keys``, at ``jwks_uri``, or found through the issuer's metadata.
    """

    @property
    def issuer(self) -> str:
        """The issuer identifier."""

    @property
    def algorithms(self) -> Sequence[str]:
        """The algorithms with which the issuer can sign."""

    @property
    def jwks_uri(self) -> str | None:
        """The address of the issuer's keys, if known."""

    @property
    def keys(self) -> Sequence[Mapping[str, Any]] | None:
        """The issuer's keys, if known."""


Key = jwk.RSAKey | jwk.ECKey | jwk.OKPKey
Fetch = Callable[[str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Mapping[str, Key]
    at: float


class Keyring:
    """The keys of all issuers that one process has queried.

    ``allowed`` lists internal networks that Stint can reach.
    """

    def __init__(
        self, *, allowed: Sequence[Network] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed, self._clock = tuple(allowed), clock
        self._known: dict[str, _Known] = {}
        # Why a request to an issuer failed, and when.
        self._failed: dict[str, tuple[str, float]] = {}
        # One lock per issuer, so that a hanging issuer does not delay tokens of other issuers.
        self._locks: dict[str, threading.Lock] = {}
        self._seats = threading.BoundedSemaphore(_SEATS)

    def find(self, document: Signer, kid: str) -> Key | None:
        """Return the public key that ``kid`` names; None if the issuer has no such key. Raises CannotFetch.

        While another token's request to the issuer is running, the cached keys are used.
        """
        if document.keys is not None:
            return read_keys({"keys": list(document.keys)}).get(kid)
        place = document.jwks_uri or document.issuer
        known = self._known.get(place)
        if (
            known is not None
            and (kid in known.keys or self._clock() - known.at < AGAIN)
            and self._young(known)
        ):
            return known.keys.get(kid)
        # If two threads create the lock simultaneously, both get the first one.
        lock = self._locks.setdefault(place, threading.Lock())
        if known is not None and self._young(known):
            mine = lock.acquire(blocking=False)
        else:
            mine = self._waited(lock)
        if mine:
            try:
                known = self._renewed(place, document)
            finally:
                lock.release()
        if known is None or not self._young(known):
            raise CannotFetch(f"the request for the keys of {place} is still running")
        return known.keys.get(kid)

    def _waited(self, lock: threading.Lock) -> bool:
        """Whether the lock was acquired.

        A few threads may wait, because a healthy issuer responds soon. A hanging issuer must not block every
        process.
        """
        if lock.acquire(blocking=False):
            return True
        if not self._seats.acquire(blocking=False):
            return False
        try:
            return lock.acquire(timeout=PATIENCE)
        finally:
            self._seats.release()

    def _renewed(self, place: str, document: Signer) -> _Known:
        known = self._known.get(place)
        if known is None or self._clock() - known.at >= AGAIN:
            known = self._known[place] = _Known(self._asked(place, document), self._clock())
        return known

    def _asked(self, place: str, document: Signer) -> Mapping[str, Key]:
        """Fetch the keys, but back off from an unresponsive issuer, so that strangers' tokens don't block
        every process.
        """
        why, at = self._failed.get(place, ("", 0.0))
        if why and self._clock() - at < AGAIN:
            raise CannotFetch(why)
        try:
            found = self._fetch(document)
        except CannotFetch as error:
            self._failed[place] = (str(error), self._clock())
            raise
        self._failed.pop(place, None)
        return found

    def _young(self, known: _Known) -> bool:
        return self._clock() - known.at < KEPT

    def _fetch(self, document: Signer) -> Mapping[str, Key]:
        return read_keys(self._get(document.jwks_uri or self._published(document.issuer)))

    def _published(self, issuer: str) -> str:
        """Return the address of the keys from the issuer's metadata (OpenID Connect Discovery 1.0 section 4).

        The address must be on the issuer's own host.
        """
        told = self._get(issuer.removesuffix("/") + _WELL_KNOWN)
        if told.get("issuer") != issuer:
            raise CannotFetch(f"issuer mismatch: the metadata is not from {issuer}")
        there = told.get("jwks_uri")
        if not isinstance(there, str) or urlsplit(there).netloc != urlsplit(issuer).netloc:
            raise CannotFetch(f"{issuer} has no jwks_uri on its own host: set jwks_uri in the trust policy")
        return there

    def _get(self, url: str) -> dict[str, Any]:
        return fetch_json(url, allowed=self._allowed)


def read_keys(found: Mapping[str, Any]) -> Mapping[str, Key]:
    """Return the public keys of a key set (RFC 7517) by their kid.

    Keys that are short, private, for encryption, of an unknown type or without a kid are skipped. Raises
    CannotFetch for an invalid set.
    """
    listed = found.get("keys")
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise CannotFetch(f"the issuer's key set is not valid, or has more than {_MOST_KEYS} keys")
    keys: dict[str, Key] = {}
    for one in listed:
        if not isinstance(one, dict) or one.get("use", "sig") != "sig" or not _usual(one):
            continue
        try:
            key = _KINDS[str(one["kty"])].import_key(one)
        except (JoseError, ValueError, TypeError, KeyError):
            continue
        if isinstance(kid := one.get("kid"), str) and not key.is_private:
            keys[kid] = key
    return keys


def _usual(one: Mapping[str, Any]) -> bool:
    kind = str(one.get("kty"))
    return kind in _KINDS and (kind != "RSA" or len(str(one.get("n", ""))) * 6 >= _SHORTEST_RSA)
