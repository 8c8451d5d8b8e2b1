"""Proof of an end: the API server itself confirms that an account has no permissions, and that its tokens are
refused.

Source: authorization.k8s.io/v1 SubjectAccessReview, authentication.k8s.io/v1 TokenReview and TokenRequest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from sessions_app.connectors.kubernetes.api import Api, Data
from sessions_app.connectors.kubernetes.objects import Ask, name_of, path_of, user_of
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters

# The shortest validity of a token that API servers issue, in seconds.
LEAST_SECONDS = 600
# API servers cache a valid token for ten seconds. Authorizers notice a deletion within a third of a second.
CACHE_SECONDS = 12.0
PATIENCE = 3.0


def token_request(parameters: KubernetesParameters, name: str, seconds: int) -> tuple[str, Data]:
    """Return the path and the body of a request for an account's token that is valid for at least
    ``seconds``.
    """
    spec: Data = {"expirationSeconds": max(LEAST_SECONDS, seconds)}
    if parameters.audience:
        spec["audiences"] = [parameters.audience]
    body: Data = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    return f"{path_of('serviceaccounts', parameters.accounts, name)}/token", body


def request_token(api: Api, name: str, seconds: int, also: tuple[int, ...] = ()) -> Data:
    """Request a token of an account. Return the status of the TokenRequest; empty for an HTTP status in
    ``also``.
    """
    path, body = token_request(api.parameters, name, seconds)
    _, answer = api.call("POST", path, body, also=also)
    status = answer.get("status")
    return status if isinstance(status, dict) else {}


def ask_all(api: Api, mark: str, asks: Iterable[Ask], *, patience: float = PATIENCE) -> dict[Ask, bool]:
    """Return whether a grant's account has each of these permissions.

    A positive answer is queried again for up to ``patience`` seconds.

    Only the account's own name is queried, because permissions of every account in the cluster are not part
    of the grant. Without its groups, an API server that consults Stint first gets no opinion, so its other
    authorizers decide.
    """
    user = user_of(api.parameters.accounts, mark)
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
    # A missing response proves nothing.
    return not isinstance(status, dict) or status.get("allowed") is not False


@dataclass(frozen=True, slots=True)
class Canary:
    """A token that is requested just before the account is deleted, to test afterward that it is refused.

    Empty if the account was already gone.

    The holder's own token is not stored anywhere. All tokens of an account become invalid together, except
    for those in the API server's cache.
    """

    token: str = field(repr=False, default="")

    @classmethod
    def take(cls, api: Api, mark: str) -> Canary:
        """Request the canary's token."""
        made = request_token(api, name_of(mark), LEAST_SECONDS, also=(404,))
        return cls(str(made.get("token") or ""))


@dataclass(frozen=True, slots=True)
class Refusal:
    """The result of the test that tokens are refused, with a description for the receipt."""

    good: bool
    words: str


def refused(api: Api, canary: Canary, *, settle: float) -> Refusal:
    """Poll until the canary is refused or the API server's cache has expired.

    ``settle`` is the first wait, in seconds.
    """
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
