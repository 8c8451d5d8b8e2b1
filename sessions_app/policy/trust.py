"""Trust policies: the issuers whose tokens authenticate a machine, and the identity as which it acts.

Pure functions that accept nothing by default.

Sources: RFC 8725 (best practice for JWT), RFC 8693, and the documentation of GitHub's and GitLab's OIDC
tokens.
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
from sessions_app.policy.policies import Person
from sessions_app.policy.policy_part import Name

# All of these verify with a public key (RFC 7518, RFC 9864). With a shared key, anyone who can verify tokens
# could also create them.
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]
# These claims identify the repository or project itself. A name could be abandoned and then taken by
# another owner.
BY_ID = ("repository_id", "project_id")
SCOPES = ("end", "read", "request")
# The maximum amount by which an issuer's clock can be ahead.
AHEAD = dt.timedelta(seconds=30)
# The maximum age of a token under any trust policy.
OLDEST = dt.timedelta(hours=1)
# Events for changes that are only proposed, whose code no one has reviewed.
_PROPOSED_EVENTS = re.compile(r"pull_request.*")
_PROPOSED_PIPELINES = frozenset({"merge_request_event", "external_pull_request_event"})
# The run was started by another pipeline, which the token does not describe. That pipeline may have run for a
# merge request.
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
        raise ValueError("has a query or a fragment: remove it")
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
        raise ValueError("is a private key, which only the issuer should have: use the public key")
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
    """Which tokens are accepted (`issuer`, its keys), for which runs (`required_claims`), and as which
    identity they act (`speaks_as`).

    The keys are those that the issuer publishes, those at `jwks_uri`, or those in `keys`. Claims are compared
    as text with each listed value; patterns are not supported.
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
        description="Public keys (RFC 7517) to use instead of fetching them",
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
                "required_claims: add repository_id or project_id; otherwise anyone with an account at "
                "the issuer could get a token"
            )
        if not any(f"{{{claim}}}" in self.workflow for claim in named):
            raise ValueError(f"workflow: must name {{{named[0]}}}, or two projects could share a key")
        if self.jwks_uri and self.keys:
            raise ValueError("jwks_uri: remove it when keys is set")
        return self

    def values(self, claim: str) -> tuple[str, ...]:
        """Return the accepted values of a claim."""
        wanted = self.required_claims[claim]
        return (wanted,) if isinstance(wanted, str) else wanted


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition on a token, and whether it is met."""

    name: str
    met: bool
    message: str


def conditions(document: TrustPolicyDocument, claims: Claims, now: dt.datetime) -> list[Condition]:
    """Check every condition on the claims of a token. The caller must verify the token's signature."""
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
    """Return a claim as text for comparison; None if the claim is not text, a whole number or a boolean.

    Issuers may write the same number as 22 or as "22".
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    return value if isinstance(value, str) else None


def workflow_key(document: TrustPolicyDocument, claims: Claims) -> str | None:
    """Return the reference of the workflow for which a token was issued.

    Returns None if a claim is missing or can't be part of a reference.
    """
    parts = {name: text_of(claims.get(name)) for name in _PLACE.findall(document.workflow)}
    if not all(part is not None and _PART.fullmatch(part) for part in parts.values()):
        return None
    return _PLACE.sub(lambda match: str(parts[match[1]]), document.workflow)


def _issuer(document: TrustPolicyDocument, claims: Claims) -> Condition:
    # Compared byte for byte: `https://host` and `https://host/` are different issuers.
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
        Condition("not over", ends is not None and ends > at, "Not expired"),
        Condition("fresh", fresh and begun, f"Issued within the last {document.max_age} seconds"),
    ]


def seconds_of(value: Any) -> float | None:
    """Return a claim as a time in seconds since 1970; None if the claim is not a time."""
    usable = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e12
    return float(value) if usable else None


def _once(claims: Claims) -> Condition:
    jti = claims.get("jti")
    named = isinstance(jti, str) and 1 <= len(jti) <= 256
    return Condition("named", named, "Has a jti, so it can be used only once")


def _required(document: TrustPolicyDocument, claim: str, claims: Claims) -> Condition:
    wanted = document.values(claim)
    given = text_of(claims.get(claim))
    return Condition(claim, given is not None and given in wanted, f"{claim} is {' or '.join(wanted)}")


def _reviewed(document: TrustPolicyDocument, claims: Claims) -> Condition:
    """Return the condition that a run is not for a proposed change, unless the policy allows such runs.

    Anyone can start a run for a proposed change from a fork, so such a run can't be trusted like the
    project's own.
    """
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
    return Condition("reviewed", met, "Not for a proposed change")


def _key(document: TrustPolicyDocument, claims: Claims) -> Condition:
    key = workflow_key(document, claims)
    return Condition("workflow", key is not None, f"Bound to {key or document.workflow}")
