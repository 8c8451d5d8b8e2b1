"""Trust policies: list them, write them, and hold a token against one."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.debug import sensitive_post_parameters

from broker.kernel import clock
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.issuers.tokens import NoToken
from sessions_app.models import TrustPolicy
from sessions_app.operations.catalogue.save_document import state_of
from sessions_app.operations.identities.prove_token import prove_token
from sessions_app.policy.trust import Condition
from sessions_app.queries import facts
from sessions_app.web.catalogue import trust_page as reads
from sessions_app.web.shell.doors import ACT, FORM, page, who
from sessions_app.web.shell.editor import Typed, sent
from sessions_app.web.shell.removing import Removal, press_remove
from sessions_app.web.shell.saving import Outcome, press, said


@page()
def index(request: HttpRequest) -> HttpResponse:
    """All for administrators; else those that let the reader's machines in."""
    return render(request, "catalogue/trust_policies.html", {"rows": reads.trust_policies(who(request))})


@page(FORM)
def new(request: HttpRequest) -> HttpResponse:
    """Make a trust policy."""
    if not who(request).is_superuser:
        raise Http404
    return _editor(request, None)


@page(FORM)
def edit(request: HttpRequest, name: str) -> HttpResponse:
    """Change a trust policy."""
    return _editor(request, _administered(request, name))


def _administered(request: HttpRequest, name: str) -> TrustPolicy:
    return get_object_or_404(TrustPolicy.objects.live().administered_by(who(request)), name=name)


def _editor(
    request: HttpRequest,
    policy: TrustPolicy | None,
    *,
    found: list[Condition] | None = None,
    fault: StintError | None = None,
) -> HttpResponse:
    name = policy.name if policy else None
    source = policy.source if policy else reads.START
    outcome = Outcome()
    if request.method == "POST" and found is None and not fault:
        source = sent(request.POST)
        outcome = press(request, kind="trust-policies", source=source, name=name)
    if outcome.saved and outcome.plan:
        saved = name or next((change.name for change in outcome.plan.changes), "")
        messages.success(request, said(outcome, saved))
        return redirect("trust_policies")
    context = {
        "policy": policy, "typed": Typed(source, outcome.problems), "outcome": outcome, "error": outcome.error,
        "here": request.path, "conditions": found, "fault": fault,
        "based_on": request.POST.get("based_on") or (state_of("trust-policies", name) if name else ""),
    }  # fmt: skip
    status = fault.status if fault else outcome.status
    return render(request, "catalogue/trust_policy_edit.html", context, status=status)


@sensitive_post_parameters("token")
@page(ACT)
def try_token(request: HttpRequest, name: str) -> HttpResponse:
    """Say of each condition whether a token meets it. Nothing is issued or used up, and the token is not kept."""
    policy = _administered(request, name)
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
            f"This is no signed token: {error}.",
            fields={"token": ["Paste the three parts that the issuer signed, as they are."]},
        ) from error


@page(ACT)
def remove(request: HttpRequest, name: str) -> HttpResponse:
    """Show which tokens the removal of a trust policy revokes; with ``confirm`` remove it."""
    given = reads.count_given(_administered(request, name), clock.now())
    removal = Removal(
        "trust-policies", "trust policy", "Nobody is let in by it any more.", "trust_policy_edit", "trust_policies",
        "Nobody is let in by it any more. What was done stays in the record.",
    )  # fmt: skip
    return press_remove(request, removal, name, given=given)
