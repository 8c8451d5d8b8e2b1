"""Parse and verify tokens of issuers (RFC 7515, RFC 7519, RFC 8725)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError

from sessions_app.issuers.fetch import CannotFetch
from sessions_app.issuers.keys import Keyring, Signer
from sessions_app.policy.trust import Condition

LONGEST = 16 * 1024
_LONGEST_KID = 200
# A token of one of these types has another purpose, regardless of its claims.
_OTHER_KINDS = frozenset({"at+jwt", "dpop+jwt", "secevent+jwt", "logout+jwt"})


class NoToken(ValueError):
    """The text is not a signed token."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """The content of a token before any verification.

    Use this content only to look up the issuer that it claims, and to display it.
    """

    header: dict[str, Any]
    claims: dict[str, Any]


def read_unproven(token: str) -> Unproven:
    """Return the unverified header and claims of a token. Raises NoToken."""
    if len(token) > LONGEST or token.count(".") != 2:
        raise NoToken("the token is not a JWT")
    try:
        parts = jws.extract_compact(token.encode("ascii"))
        header, claims = parts.headers(), json.loads(parts.payload or b"", object_pairs_hook=_once_each)
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise NoToken(f"the token can't be parsed: {type(error).__name__}") from error
    if not isinstance(header, dict) or not isinstance(claims, dict):
        raise NoToken("the token has no claims")
    return Unproven(header, claims)


def signature(token: str, document: Signer, keyring: Keyring) -> Iterator[Condition]:
    """Yield whether the header is acceptable, the key known and the signature valid.

    Stops at the first result that makes the rest impossible. Keys come only from the issuer. Key references
    in the header (`jwk`, `jku`, `x5u`, `x5c`) are ignored, and `kid` is only a name in the issuer's key set.
    """
    header = read_unproven(token).header
    fit = _fit(header, document)
    yield Condition("algorithm", fit, f"Signed with {' or '.join(document.algorithms)}")
    if not fit:
        return
    try:
        key = keyring.find(document, header["kid"])
    except CannotFetch as error:
        yield Condition("key", False, f"The token's key is available: {error}")
        return
    yield Condition("key", key is not None, "The token's key belongs to the issuer")
    if key is None:
        return
    try:
        jws.deserialize_compact(token, key, algorithms=list(document.algorithms))
        right = True
    except (JoseError, ValueError, TypeError):
        right = False
    yield Condition("signature", right, "Signed by the issuer")


def _fit(header: dict[str, Any], document: Signer) -> bool:
    kid, kind = header.get("kid"), header.get("typ", "JWT")
    return (
        header.get("alg") in document.algorithms
        and "crit" not in header
        and isinstance(kid, str)
        and 1 <= len(kid) <= _LONGEST_KID
        and isinstance(kind, str)
        and kind.lower() not in _OTHER_KINDS
    )


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a claim is repeated")
    return found
