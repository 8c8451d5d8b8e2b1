"""Save a catalog document from a page, after the page has shown the grants that would end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import HttpRequest

from broker.kernel import clock
from broker.kernel.errors import StintError
from sessions_app.models import Grant, Proposal
from sessions_app.operations.catalog.catalog_plan import MoreWouldEnd, Plan
from sessions_app.operations.catalog.document_state import Kind
from sessions_app.operations.catalog.save_document import save_document
from sessions_app.operations.catalog.save_draft import CannotBeRead
from sessions_app.policy.documents import Problem
from sessions_app.web.display.states import plural
from sessions_app.web.layout.views import who


@dataclass(frozen=True, slots=True)
class SaveResult:
    """The result of pressing Save: the document was saved, the planned change needs confirmation, or an error
    prevented saving.
    """

    plan: Plan | None = None
    saved: bool = False
    error: StintError | None = None

    @property
    def problems(self) -> Sequence[Problem]:
        """The document's errors, with their lines."""
        return self.error.problems if isinstance(self.error, CannotBeRead) else ()

    @property
    def status(self) -> int:
        """The HTTP status of the page if nothing was saved."""
        return self.error.status if self.error else 200

    @property
    def ends(self) -> Sequence[Grant]:
        """The grants that end with the change."""
        return ending(self.plan) if self.plan else []

    @property
    def told(self) -> str:
        """The references of the grants that end, which the confirmation sends back."""
        return " ".join(self.plan.ends) if self.plan else ""


def ending(plan: Plan) -> Sequence[Grant]:
    """Return the grants that end because of the change, with their holders."""
    found = Grant.objects.filter(ref__in=plan.ends).select_related(
        "holder", "command_set_version__command_set", "cluster"
    )
    return list(found.order_by("expires_at")[:200])


def press(
    request: HttpRequest, *, kind: Kind, source: str, name: str | None, based_on: str | None = None
) -> SaveResult:
    """Save the submitted document, or return the planned change without saving.

    Nothing is saved with ``act=look``, or if grants would end that the page did not show. If
    ``based_on`` is missing, the form says on which version the edit is based.
    """
    me, now = who(request), clock.now()
    based_on = request.POST.get("based_on") if based_on is None else based_on
    try:
        if request.POST.get("act") != "look":
            told = request.POST.get("told", "").split()
            try:
                plan = save_document(
                    kind=kind, source=source, actor=me, now=now, name=name, based_on=based_on, told=told
                )
                return SaveResult(plan, saved=True)
            except MoreWouldEnd:
                pass
        return SaveResult(
            save_document(
                kind=kind, source=source, actor=me, now=now, name=name, based_on=based_on, plan_only=True
            )
        )
    except StintError as error:
        return SaveResult(error=error)


def proposed(proposal: Proposal) -> str:
    """Return the message shown when a document was proposed instead of saved."""
    return (
        f"{proposal.name} is unchanged. Your change may widen its {', '.join(proposal.wider)}, "
        "so another administrator must publish it. Administrators were notified."
    )


def said(outcome: SaveResult, name: str) -> str:
    """Return the message shown after saving."""
    plan = outcome.plan
    if plan and plan.proposal:
        return proposed(plan.proposal)
    if plan is None or not plan.changes:
        return f"No changes to {name}."
    many = len(plan.ends)
    ended = f" {plural(many, 'grant')} {'ends' if many == 1 else 'end'}." if many else ""
    return f"{name} saved.{ended}"
