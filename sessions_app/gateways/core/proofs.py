"""DPoP: a token that is bound to a key is valid only with a fresh proof of that key. Source: RFC 9449 §4.3,
§7.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import hmac
import json
from typing import Any
from urllib.parse import SplitResult, urlsplit

from joserfc import jwk, jws
from joserfc.errors import JoseError

from sessions_app.operations.grants.use_proof import use_proof

# The name from RFC 9864 includes the curve; the older name, EdDSA, does not.
ALGORITHMS = ("ES256", "Ed25519")
# How old a proof may be, and how far ahead a holder's clock may be, in seconds.
OLDEST = dt.timedelta(seconds=60)
AHEAD = dt.timedelta(seconds=5)
_LONGEST = 8192
_PORTS = {"http": 80, "https": 443}


class ProofRefused(Exception):
    """The proof does not match this key and request, or was used before. The message gives the reason."""


def check_proof(*, proof: str, token: str, jkt: str, method: str, url: str, now: dt.datetime) -> None:
    """Check the DPoP header of one request, and mark the proof as used. ``url`` is the configured origin and
    the path.

    Raises ProofRefused.
    """
    if not proof:
        raise ProofRefused("this token needs a DPoP proof")
    if len(proof) > _LONGEST or "," in proof:
        raise ProofRefused("exactly one DPoP header is required")
    claims = _verified(proof, jkt)
    _check_claims(claims, token, method, url, now)
    if not use_proof(jkt=jkt, jti=claims["jti"], expires_at=now + OLDEST + AHEAD, now=now):
        raise ProofRefused("the proof was already used")


def _verified(proof: str, jkt: str) -> dict[str, Any]:
    try:
        header = jws.extract_compact(proof.encode()).headers()
        key = _key(header)
        if not hmac.compare_digest(key.thumbprint(), jkt):
            raise ProofRefused("the proof key does not match the token")
        payload = jws.deserialize_compact(proof, key, algorithms=list(ALGORITHMS)).payload
        claims = json.loads(payload)
    except (JoseError, ValueError, KeyError, TypeError) as error:
        raise ProofRefused(f"the proof can't be verified: {type(error).__name__}") from error
    if not isinstance(claims, dict):
        raise ProofRefused("the proof has no claims")
    return claims


def _key(header: dict[str, Any]) -> jwk.ECKey | jwk.OKPKey:
    if header.get("typ") != "dpop+jwt" or header.get("alg") not in ALGORITHMS or "crit" in header:
        raise ProofRefused(f"the proof must have typ dpop+jwt and one of {', '.join(ALGORITHMS)}")
    key = jwk.import_key(header["jwk"])
    if not isinstance(key, jwk.ECKey | jwk.OKPKey) or key.is_private:
        raise ProofRefused("the proof must contain only a public key, EC or OKP")
    return key


def _check_claims(claims: dict[str, Any], token: str, method: str, url: str, now: dt.datetime) -> None:
    ath = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).rstrip(b"=").decode()
    issued, jti = claims.get("iat"), claims.get("jti")
    if not isinstance(jti, str) or not 1 <= len(jti) <= 256:
        raise ProofRefused("the proof has no jti")
    if claims.get("htm") != method:
        raise ProofRefused("htm mismatch in the proof")
    if not isinstance(claims.get("htu"), str) or _plain(claims["htu"]) != _plain(url):
        raise ProofRefused("htu mismatch in the proof")
    if claims.get("ath") != ath:
        raise ProofRefused("ath mismatch in the proof")
    if not isinstance(issued, int | float) or isinstance(issued, bool):
        raise ProofRefused("the proof has no iat")
    age = now.timestamp() - issued
    if not -AHEAD.total_seconds() <= age <= OLDEST.total_seconds():
        raise ProofRefused("the proof's iat is too old or in the future: check the clock")


def _plain(url: str) -> tuple[str, str, int | None, str] | None:
    """Normalize a URL for comparison. Return None for an invalid URL, which matches no configured URL."""
    try:
        parts: SplitResult = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError:
        return None
    if parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.scheme.lower(), (parts.hostname or "").lower(), port, parts.path or "/"
