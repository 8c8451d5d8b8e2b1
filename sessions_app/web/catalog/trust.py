"""Views for trust policies: list and edit them, and test a token against a policy."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.debug import sensitive_post_parameters

from broker.kernel import clock
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.issuers.tokens import NoToken
from sessions_app.models import TrustPolicy
from sessions_app.operations.identities.prove_token import prove_token
from sessions_app.policy.trust import Condition
from sessions_app.queries.requests import facts
from sessions_app.web.catalog import trust_page as reads
from sessions_app.web.display.states import Look
from sessions_app.web.forms.documents import administered, edit_document, list_documents
from sessions_app.web.forms.removing import Removal, press_remove
from sessions_app.web.layout.views import ACT, FORM, page, who

MET, NOT_MET = Look("ok", "check", "Yes"), Look("bad", "x", "No")


@page()
def index(request: HttpRequest) -> HttpResponse:
    """List trust policies. Administrators see all of them; others see those through which their
    machines sign in.
    """
    rows = reads.trust_policies(who(request))
    return list_documents(request, "trust-policies", rows, "catalog/trust_policies.html")


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Create a trust policy."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Edit a trust policy."""
    return _editor(request, administered(request, TrustPolicy.objects.live(), name))


def _editor(
    request: HttpRequest,
    policy: TrustPolicy | None,
    *,
    found: list[Condition] | None = None,
    fault: StintError | None = None,
) -> HttpResponse:
    return edit_document(
        request,
        kind="trust-policies",
        name=policy.name if policy else None,
        source=policy.source if policy else reads.START,
        template="catalog/trust_policy_edit.html",
        pressed=found is None and fault is None,
        status=fault.status if fault else None,
        policy=policy,
        conditions=[(MET if one.met else NOT_MET, one.message) for one in found or ()],
        fault=fault,
    )


@sensitive_post_parameters("token")
@page(ACT)
def try_token(request: HttpRequest, name: str) -> HttpResponse:
    """Show which conditions a token meets. Nothing is issued, and the token is neither consumed nor
    stored.
    """
    policy = administered(request, TrustPolicy.objects.live(), name)
    try:
        found = _tried(policy, request.POST.get("token", "").strip())
    except StintError as error:
        return _editor(request, policy, fault=error)
    return _editor(request, policy, found=found)


def _tried(policy: TrustPolicy, token: str) -> list[Condition]:
    try:
        document = facts.trust_document(policy)
        return prove_token(document=document, token=token, now=clock.now(), all_of_them=True)
    except NoToken as error:
        raise InvalidInput(
            f"This isn't a signed token: {error}.",
            fields={"token": ["Paste the complete token exactly as the issuer signed it."]},
        ) from error


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show what is revoked if a trust policy is removed. With ``confirm``, remove the trust policy."""
    given = reads.count_given(administered(request, TrustPolicy.objects.live(), name), clock.now())
    removal = Removal(
        "trust-policies",
        "Machines can no longer sign in with it.",
        "Machines can no longer sign in through this trust policy. Its history stays in the record.",
    )
    return press_remove(request, removal, name, tokens=given)
