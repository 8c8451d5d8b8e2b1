"""The proof of an end: the API server itself says that an account may do nothing, and that its tokens are refused.

Source: authorization.k8s.io/v1 SubjectAccessReview, authentication.k8s.io/v1 TokenReview and TokenRequest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sessions_app.connectors.kubernetes.api import Api, Data
from sessions_app.connectors.kubernetes.objects import Ask, name_of, path_of

# API servers make no token for less.
LEAST_SECONDS = 600
# They remember for ten seconds that a token was good, and authorisers learn of a deletion within a third of one.
CACHE_SECONDS = 12.0
PATIENCE = 3.0


def request_token(api: Api, accounts: str, name: str, seconds: int, also: tuple[int, ...] = ()) -> Data:
    """A token of an account and its end, as TokenRequest's status has them; nothing for a status in ``also``."""
    spec: Data = {"expirationSeconds": max(LEAST_SECONDS, seconds)}
    if api.parameters.audience:
        spec["audiences"] = [api.parameters.audience]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    _, answer = api.call("POST", f"{path_of('serviceaccounts', accounts, name)}/token", body, also=also)
    status = answer.get("status")
    return status if isinstance(status, dict) else {}


def ask_all(api: Api, mark: str, asks: Iterable[Ask], *, patience: float = PATIENCE) -> dict[Ask, bool]:
    """Whether a grant's account may do each of these. A yes is asked again for as long as ``patience``, in seconds.

    Asked for the account's name alone: what every account of the cluster may do is not the grant's.
    """
    user = f"system:serviceaccount:{api.parameters.accounts}:{name_of(mark)}"
    ends = time.monotonic() + patience
    answers = {}
    for ask in asks:
        while (allowed := _may(api, user, ask)) and time.monotonic() < ends and api.wait(0.1):
            pass
        answers[ask] = allowed
    return answers


def _may(api: Api, user: str, ask: Ask) -> bool:
    spec = {"user": user, "resourceAttributes": ask.attributes}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    _, answer = api.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
    status = answer.get("status")
    # No answer is no proof.
    return not isinstance(status, dict) or status.get("allowed") is not False


@dataclass(frozen=True, slots=True)
class Canary:
    """A token of the account, made just before the account goes, to ask about afterwards; empty: it was gone already.

    The holder's own token is kept nowhere. What is true of one token of an account is true of all, but for those that
    the API server has in its cache.
    """

    token: str = field(repr=False, default="")

    @classmethod
    def take(cls, api: Api, mark: str) -> Canary:
        """Ask for one."""
        made = request_token(api, api.parameters.accounts, name_of(mark), LEAST_SECONDS, also=(404,))
        return cls(str(made.get("token") or ""))


@dataclass(frozen=True, slots=True)
class Refusal:
    """Whether tokens are refused, in words for the receipt."""

    good: bool
    words: str


def refused(api: Api, canary: Canary, *, settle: float) -> Refusal:
    """Ask whether the canary is refused, until it is or the cache of the API server has run out."""
    if not canary.token:
        return Refusal(True, "the account and its tokens were already gone")
    began = time.monotonic()
    api.wait(settle)
    while _accepted(api, canary):
        if time.monotonic() - began > CACHE_SECONDS or not api.wait(1.0):
            return Refusal(False, "a token of the account is still accepted")
    return Refusal(True, f"refused {time.monotonic() - began:.1f} s after the account was gone")


def _accepted(api: Api, canary: Canary) -> bool:
    spec: Data = {"token": canary.token}
    if api.parameters.audience:
        spec["audiences"] = [api.parameters.audience]
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
    _, answer = api.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)
    status = answer.get("status")
    return not isinstance(status, dict) or status.get("authenticated") is True
