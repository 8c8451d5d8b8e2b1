"""The keys of issuers: kept for a while, and fetched again, with a limit, when a token names one that is not known."""

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

# Seconds.
KEPT = 600
# A token can name any key; not each of them may send Stint out to ask.
AGAIN = 30
# How long a token waits for the answer that another one has asked for, and how many may.
PATIENCE = 2.0
_SEATS = 3
_MOST_KEYS = 50
# NIST SP 800-131A: shorter ones are broken by those who can pay.
_SHORTEST_RSA = 2048
_KINDS: Mapping[str, type[jwk.RSAKey | jwk.ECKey | jwk.OKPKey]] = {
    "RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey,
}  # fmt: skip
_WELL_KNOWN = "/.well-known/openid-configuration"


class Signer(Protocol):
    """Who signs tokens, with what, and where the keys to them are: given, at ``jwks_uri``, or where the issuer says."""

    @property
    def issuer(self) -> str:
        """Its issuer identifier."""

    @property
    def algorithms(self) -> Sequence[str]:
        """Those that it may sign with."""

    @property
    def jwks_uri(self) -> str | None:
        """Where its keys are, if that is known."""

    @property
    def keys(self) -> Sequence[Mapping[str, Any]] | None:
        """Its keys, if they are known."""


Key = jwk.RSAKey | jwk.ECKey | jwk.OKPKey
Fetch = Callable[[str], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class _Known:
    keys: Mapping[str, Key]
    at: float


class Keyring:
    """The keys of all issuers that one process has asked. ``allowed``: inner networks that may be asked."""

    def __init__(
        self, *, allowed: Sequence[Network] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._allowed, self._clock = tuple(allowed), clock
        self._known: dict[str, _Known] = {}
        # Why an issuer could not be asked, and when that was.
        self._failed: dict[str, tuple[str, float]] = {}
        # One for each issuer, so that one that hangs holds up no token of another.
        self._locks: dict[str, threading.Lock] = {}
        self._seats = threading.BoundedSemaphore(_SEATS)

    def find(self, document: Signer, kid: str) -> Key | None:
        """Return the public key that ``kid`` names; None when the issuer has no such key. Raises CannotFetch.

        While another token has the issuer asked, what is known of it counts.
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
        # Of two that make it at the same moment, both get the first.
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
        """A few wait a moment, for an issuer that is well answers soon; one that hangs does not take up every process."""
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
        """One that does not answer is left alone for a while, so that tokens of strangers don't take up every process."""
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
        """Return where an issuer says that its keys are (OpenID Connect Discovery 1.0 section 4), on its own host alone."""
        told = self._get(issuer.removesuffix("/") + _WELL_KNOWN)
        if told.get("issuer") != issuer:
            raise CannotFetch(f"issuer mismatch: the metadata is not of {issuer}")
        there = told.get("jwks_uri")
        if not isinstance(there, str) or urlsplit(there).netloc != urlsplit(issuer).netloc:
            raise CannotFetch(f"{issuer} has no jwks_uri on its own host: set jwks_uri in the trust policy")
        return there

    def _get(self, url: str) -> dict[str, Any]:
        return fetch_json(url, allowed=self._allowed)


def read_keys(found: Mapping[str, Any]) -> Mapping[str, Key]:
    """Return the public keys of a set (RFC 7517) by their kid. One of a type that is not known is passed over, and so is
    one without a kid, for encryption, private or short. Raises CannotFetch for what is no set.
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
