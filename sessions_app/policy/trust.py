"""Trust policies: whose tokens a machine may prove itself with, and as whom it speaks then. Pure, and closed by default.

Sources: RFC 8725 (best practice for JWT), RFC 8693, and the documentation of GitHub's and GitLab's OIDC tokens.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from sessions_app.policy.durations import Duration
from sessions_app.policy.policies import Name, Person

# Each verifies with a public key (RFC 7518, RFC 9864): a shared one would let whoever checks tokens make them.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]  # fmt: skip
# One of these names the repository or project itself; a name can be given up and taken by somebody else.
BY_ID = ("repository_id", "project_id")
SCOPES = ("end", "read", "request")
# How far an issuer's clock may be ahead.
AHEAD = dt.timedelta(seconds=30)
# No trust policy takes a token that is older.
OLDEST = dt.timedelta(hours=1)
# What begins for a change that somebody only proposes: its code was reviewed by nobody.
_PROPOSED_EVENTS = re.compile(r"pull_request.*")
_PROPOSED_PIPELINES = frozenset({"merge_request_event", "external_pull_request_event"})
# Begun by another pipeline, of which the token says nothing: that may have been one of a merge request.
_BEGUN_BY_ANOTHER = frozenset({"parent_pipeline", "pipeline"})
_SAYS_FOR_WHAT = ("event_name", "pipeline_source", "ref_protected", "sub", "ref", "ref_path")
_PROPOSED_REFS = ("refs/pull/", "refs/merge-requests/")
_PLACE = re.compile(r"\{([a-z_]{1,64})\}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

Claims = Mapping[str, Any]


def _https(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("https", "http") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("is not a URL: use https://host/path")
    if parts.query or parts.fragment:
        raise ValueError("has a query or a fragment: leave them out")
    return text


def _template(text: str) -> str:
    rest = _PLACE.sub("", text)
    if not _PLACE.search(text) or "{" in rest or "}" in rest:
        raise ValueError("name claims in braces, like github:{repository_id}:{run_id}:{run_attempt}")
    return text


def _public(key: Mapping[str, Any]) -> Mapping[str, Any]:
    if key.get("kty") not in ("RSA", "EC", "OKP"):
        raise ValueError("is not a public key: kty must be RSA, EC or OKP")
    if _PRIVATE & key.keys():
        raise ValueError("is a private key, which only the issuer may have: use the public key")
    return key


Address = Annotated[str, Field(max_length=300), AfterValidator(_https)]
ClaimName = Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
ClaimValue = Annotated[str, Field(min_length=1, max_length=300)]


def _values(given: tuple[str, ...]) -> tuple[str, ...]:
    if any("*" in value for value in given):
        raise ValueError("wildcards are not supported: list each value")
    return given


Wanted = Annotated[tuple[ClaimValue, ...], Field(min_length=1, max_length=50), AfterValidator(_values)]


class TrustPolicyDocument(BaseModel):
    """Whose tokens are taken (`issuer`, its keys), for which runs (`required_claims`), and as whom they speak.

    The keys are those that the issuer publishes, those at `jwks_uri`, or those in `keys`. Claims are compared as text with
    each listed value; nothing is matched by a pattern.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    summary: str = Field(default="", max_length=200)
    issuer: Address
    jwks_uri: Address | None = None
    keys: tuple[Annotated[dict[str, Any], AfterValidator(_public)], ...] | None = Field(
        default=None,
        min_length=1,
        max_length=20,
        description="Public keys (RFC 7517), instead of fetching them",
    )
    audience: str = Field(min_length=1, max_length=300)
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256",), min_length=1)
    max_age: Annotated[Duration, Field(le=int(OLDEST.total_seconds()))] = 600
    required_claims: dict[ClaimName, ClaimValue | Wanted] = Field(min_length=1, max_length=30)
    allow_pull_requests: bool = False
    speaks_as: Person
    workflow: Annotated[str, Field(max_length=150), AfterValidator(_template)]
    scopes: tuple[Literal["read", "request", "end"], ...] = Field(
        default=("end", "read", "request"), min_length=1
    )
    lifetime: Annotated[Duration, Field(ge=60, le=3600)] = 900

    @model_validator(mode="after")
    def _closed(self) -> TrustPolicyDocument:
        named = [claim for claim in BY_ID if claim in self.required_claims]
        if not named:
            raise ValueError(
                "required_claims: add repository_id or project_id; without it, anyone with an account at the issuer could get a token"
            )
        if not any(f"{{{claim}}}" in self.workflow for claim in named):
            raise ValueError(f"workflow: must name {{{named[0]}}}, or two projects could have one key")
        if self.jwks_uri and self.keys:
            raise ValueError("jwks_uri: remove it when jwks is set")
        return self

    def values(self, claim: str) -> tuple[str, ...]:
        """Return what a claim may be."""
        wanted = self.required_claims[claim]
        return (wanted,) if isinstance(wanted, str) else wanted


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that a token has to be, and whether it is."""

    name: str
    met: bool
    message: str


def conditions(document: TrustPolicyDocument, claims: Claims, now: dt.datetime) -> list[Condition]:
    """Return each condition on the claims of a token with its yes or no. Its signature is another matter."""
    required = [_required(document, claim, claims) for claim in document.required_claims]
    return [
        _issuer(document, claims),
        _audience(document, claims),
        *_times(document, claims, now),
        _once(claims),
        *required,
        _reviewed(document, claims),
        _key(document, claims),
    ]


def text_of(value: Any) -> str | None:
    """Return a claim as the text that it is compared by: issuers write the same number as 22 and as "22"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def workflow_key(document: TrustPolicyDocument, claims: Claims) -> str | None:
    """Return the reference of the workflow that a token is for; None when a claim is missing or can't be a part of it."""
    parts = {name: text_of(claims.get(name)) for name in _PLACE.findall(document.workflow)}
    if not all(part is not None and _PART.fullmatch(part) for part in parts.values()):
        return None
    return _PLACE.sub(lambda match: str(parts[match[1]]), document.workflow)


def _issuer(document: TrustPolicyDocument, claims: Claims) -> Condition:
    # Byte for byte: `https://host` and `https://host/` are two.
    return Condition("issuer", claims.get("iss") == document.issuer, f"Issued by {document.issuer}")


def _audience(document: TrustPolicyDocument, claims: Claims) -> Condition:
    given = claims.get("aud")
    named = given if isinstance(given, list) else [given]
    return Condition("audience", document.audience in named, f"Audience is {document.audience}")


def _times(document: TrustPolicyDocument, claims: Claims, now: dt.datetime) -> list[Condition]:
    issued, ends, begins = (seconds_of(claims.get(name)) for name in ("iat", "exp", "nbf"))
    at, ahead = now.timestamp(), AHEAD.total_seconds()
    fresh = issued is not None and at - document.max_age <= issued <= at + ahead
    begun = "nbf" not in claims or (begins is not None and begins <= at + ahead)
    return [
        Condition("not over", ends is not None and ends > at, "Not over yet"),
        Condition("fresh", fresh and begun, f"Made within the last {document.max_age} seconds"),
    ]


def seconds_of(value: Any) -> float | None:
    """Return a claim as a time in seconds since 1970; None for what is none."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if usable else None


def _once(claims: Claims) -> Condition:
    jti = claims.get("jti")
    named = isinstance(jti, str) and 1 <= len(jti) <= 256
    return Condition("named", named, "Has a jti, by which it is used once")


def _required(document: TrustPolicyDocument, claim: str, claims: Claims) -> Condition:
    wanted = document.values(claim)
    given = text_of(claims.get(claim))
    return Condition(claim, given is not None and given in wanted, f"{claim} is {' or '.join(wanted)}")


def _reviewed(document: TrustPolicyDocument, claims: Claims) -> Condition:
    """A run for a proposed change, which anybody can begin by a fork, does not count as the project's own."""
    said = {name: text_of(claims.get(name)) or "" for name in _SAYS_FOR_WHAT}
    proposed = (
        _PROPOSED_EVENTS.fullmatch(said["event_name"]) is not None
        or said["pipeline_source"] in _PROPOSED_PIPELINES
        or (said["pipeline_source"] in _BEGUN_BY_ANOTHER and said["ref_protected"] != "true")
        or bool(claims.get("head_ref"))
        or said["sub"].endswith(":pull_request")
        or said["ref"].startswith(_PROPOSED_REFS)
        or said["ref_path"].startswith(_PROPOSED_REFS)
    )
    met = document.allow_pull_requests or not proposed
    return Condition("reviewed", met, "Not for a change that is only proposed")


def _key(document: TrustPolicyDocument, claims: Claims) -> Condition:
    key = workflow_key(document, claims)
    return Condition("workflow", key is not None, f"Bound to {key or document.workflow}")
