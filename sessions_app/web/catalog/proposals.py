"""Decide on proposed versions of documents."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render

from broker.kernel import clock
from sessions_app.models import Proposal
from sessions_app.operations.catalog.catalog_plan import MoreWouldEnd
from sessions_app.operations.catalog.publish_proposal import publish_proposal
from sessions_app.operations.catalog.refuse_proposal import refuse_proposal
from sessions_app.operations.catalog.withdraw_proposal import withdraw_proposal
from sessions_app.web.catalog.proposals_page import url_of
from sessions_app.web.forms.saving import ending
from sessions_app.web.layout.views import ACT, page, who


@page(ACT)
def publish(request: HttpRequest, proposal: int) -> HttpResponse:
    """Publish a proposal. If grants would end, list them before publishing."""
    found, me = _found(request, proposal), who(request)
    told = request.POST.get("told", "").split()
    try:
        publish_proposal(proposal_id=proposal, actor=me, now=clock.now(), told=told)
    except MoreWouldEnd:
        plan = publish_proposal(proposal_id=proposal, actor=me, now=clock.now(), plan_only=True)
        context = {
            "proposal": found,
            "ends": ending(plan),
            "told": " ".join(plan.ends),
            "back": url_of(found),
        }
        return render(request, "catalog/proposal_ends.html", context)
    messages.success(request, f"The change to {found.name} was published.")
    return redirect(url_of(found))


@page(ACT)
def refuse(request: HttpRequest, proposal: int) -> HttpResponse:
    """Deny a proposal."""
    found = _found(request, proposal)
    comment = request.POST.get("comment", "")
    refuse_proposal(proposal_id=proposal, actor=who(request), now=clock.now(), comment=comment)
    messages.success(request, f"The change to {found.name} was denied. {found.proposed_by} was notified.")
    return redirect(url_of(found))


@page(ACT)
def withdraw(request: HttpRequest, proposal: int) -> HttpResponse:
    """Withdraw the reader's own proposal."""
    found = _found(request, proposal)
    withdraw_proposal(proposal_id=proposal, actor=who(request), now=clock.now())
    messages.success(request, f"Your change to {found.name} was withdrawn.")
    return redirect(url_of(found))


def _found(request: HttpRequest, proposal: int) -> Proposal:
    seen = Proposal.objects.visible_to(who(request)).select_related("proposed_by")
    return get_object_or_404(seen, pk=proposal)
