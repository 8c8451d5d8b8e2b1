"""Token exchange (RFC 8693): a Stint API token for an issuer's token, or a grant's token for an API token
(RFC 9396).
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from accounts.addresses import address_of
from accounts.models import Scope
from accounts.queries import valid_token
from broker.kernel import clock
from broker.kernel.errors import Forbidden, NotFound
from broker.kernel.text import is_storable
from sessions_app.models import Grant
from sessions_app.oauth.forms import Form, OAuthError, answer
from sessions_app.oauth.metadata import GRANT_DETAILS
from sessions_app.oauth.tokens import bearer
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.issue_http_token import NotOverHTTP, issue_http_token
from sessions_app.operations.identities.exchange_token import exchange_token
from sessions_app.policy.durations import parse_duration

_TYPE = "urn:ietf:params:oauth:token-type:"
ACCESS_TOKEN = f"{_TYPE}access_token"
# GitHub and GitLab call their token an ID token, but it is also a JWT.
ISSUED_ELSEWHERE = (f"{_TYPE}jwt", f"{_TYPE}id_token")
_MEMBERS = {"type", "grant", "lifetime", "jkt"}


def exchange(request: HttpRequest, form: Form) -> HttpResponse:
    """Exchange a token for another token."""
    if form.get("actor_token") or form.get("actor_token_type"):
        raise OAuthError(
            "invalid_request", "actor_token is not supported; grants are delegated by their holder."
        )
    if form.get("requested_token_type") not in ("", ACCESS_TOKEN):
        raise OAuthError("invalid_request", f"Only {ACCESS_TOKEN} is supported.")
    for resource in form.resources:
        _check_resource(resource)
    kind = form.need("subject_token_type")
    if kind in ISSUED_ELSEWHERE:
        return _of_issuer(request, form)
    if kind == ACCESS_TOKEN:
        return _of_grant(form)
    raise OAuthError(
        "invalid_request",
        f"subject_token_type must be one of: {', '.join((*ISSUED_ELSEWHERE, ACCESS_TOKEN))}.",
    )


def _check_resource(resource: str) -> None:
    """Raise OAuthError unless a resource (RFC 8707) is one of Stint's own. Stint's MCP servers can have their
    own port (RFC 9728).
    """
    here = (settings.PUBLIC_URL, settings.MCP_URL)
    if not any(resource == url or resource.startswith(f"{url}/") for url in here):
        raise OAuthError("invalid_target", f"Tokens are only issued for {' and '.join(dict.fromkeys(here))}.")


def _of_issuer(request: HttpRequest, form: Form) -> HttpResponse:
    if form.get("authorization_details"):
        raise OAuthError(
            "invalid_authorization_details",
            "Exchange this token for an API token first, then use the API token to name the grant.",
        )
    if len(form.audiences) > 1:
        # RFC 8693 section 2.1: one token would be valid for all audiences. Section 2.2.2 defines the error
        # for when that is not possible.
        raise OAuthError(
            "invalid_target",
            "A token is issued by one trust policy: send at most one audience.",
        )
    now = clock.now()
    made = exchange_token(
        subject_token=form.need("subject_token"),
        scopes=form.scopes,
        audience="".join(form.audiences),
        address=address_of(request),
        now=now,
    )
    return answer(
        {
            **bearer(made.token, made.text, now),
            "issued_token_type": ACCESS_TOKEN,
            "stint_workflow": made.token.workflow,
        }
    )


def _of_grant(form: Form) -> HttpResponse:
    now = clock.now()
    subject = valid_token(form.need("subject_token"), now)
    if subject is None:
        raise OAuthError("invalid_request", "The subject token is not valid.")
    if Scope.REQUEST not in subject.scopes:
        raise OAuthError("invalid_scope", "The subject token needs the request scope.")
    if form.scopes:
        raise OAuthError("invalid_scope", "The scope of a grant is determined only by authorization_details.")
    if form.audiences:
        raise OAuthError(
            "invalid_target", "A grant token is for the grant's cluster: remove audience and name the grant."
        )
    wanted = _details(form.need("authorization_details"))
    grant = Grant.objects.visible_to(subject.identity).filter(ref=wanted["grant"]).first()
    try:
        made, text = issue_http_token(
            grant_id=grant.pk if grant else 0,
            actor=subject.identity,
            jkt=wanted.get("jkt", ""),
            lifetime=_span(wanted.get("lifetime")),
            now=now,
        )
    except (NotFound, Forbidden) as error:
        raise OAuthError("invalid_authorization_details", "Grant not found.") from error
    except (NotOverHTTP, GrantIsOver) as error:
        raise OAuthError("invalid_target", str(error)) from error
    until = made.expires_at or made.grant.expires_at
    return answer(
        {
            "access_token": text,
            "issued_token_type": ACCESS_TOKEN,
            "token_type": "DPoP" if made.jkt else "Bearer",
            "expires_in": int((until - now).total_seconds()),
            "authorization_details": [{"type": GRANT_DETAILS, "grant": made.grant.ref}],
        }
    )


def _details(text: str) -> dict[str, str]:
    """Return the only object in `authorization_details`.

    Raises OAuthError for everything that RFC 9396 section 5 rejects.
    """
    try:
        given: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unfit("Not valid JSON.") from error
    if not isinstance(given, list) or len(given) != 1 or not isinstance(given[0], dict):
        raise _unfit("Send a list of one object.")
    (wanted,) = given
    if wanted.get("type") != GRANT_DETAILS:
        raise _unfit(f"Only the type {GRANT_DETAILS} is supported.")
    if unknown := sorted(map(str, wanted.keys() - _MEMBERS)):
        raise _unfit(f"Unknown member {unknown[0]}.")
    if not wanted.get("grant") or not all(isinstance(value, str) for value in wanted.values()):
        raise _unfit("Name the grant, such as GR-7F3K; every member must be a string.")
    if not all(map(is_storable, wanted.values())):
        raise _unfit("A name contains an invalid character.")
    return dict(wanted)


def _span(text: str | None) -> dt.timedelta | None:
    if text is None:
        return None
    try:
        return dt.timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise _unfit("lifetime must be a duration like 5m.") from error


def _unfit(why: str) -> OAuthError:
    return OAuthError("invalid_authorization_details", why)
