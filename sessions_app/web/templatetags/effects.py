"""Tags that show who would gain and lose permissions if a draft or a proposed version replaced a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django import template

from sessions_app.models import Proposal
from sessions_app.policy.catalog import read_policy
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.policies import PolicyDocument
from sessions_app.queries.identities.all_permissions import effect_of
from sessions_app.web.display.changes_of_permissions import ShownChange, shown_changes, summary
from sessions_app.web.moment import page_now

register = template.Library()


@dataclass(frozen=True, slots=True)
class Effect:
    """Who would gain and lose permissions, and which permissions would not change."""

    changes: Sequence[ShownChange]
    summary: str


@register.simple_tag
def effect(document: PolicyDocument | None) -> Effect | None:
    """Return the effect of a draft; None if the draft can't be parsed yet."""
    if document is None:
        return None
    found = effect_of(document, document.name, page_now())
    return Effect(shown_changes(found, past=False), summary(found))


@register.simple_tag
def proposed_effect(proposal: Proposal) -> Effect | None:
    """Return the effect of a proposed policy; None for other kinds of documents, and if the policy can't be
    parsed.
    """
    if proposal.kind != "policies":
        return None
    try:
        return effect(read_policy(proposal.source))
    except DocumentError:
        return None
