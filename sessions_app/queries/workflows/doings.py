"""Whether a workflow belongs to a requester, to another person, or to an unknown person.

People whom a source names are matched to accounts by email address or username, as the source's document
specifies. Only a confirmed email address proves that an account belongs to another person. A name that can't
be matched could be anyone's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from django.db.models import Q

from accounts.mailboxes import canonical, folded
from accounts.models import Identity
from accounts.queries import are_same_person
from sessions_app.models import Workflow, WorkflowSource
from sessions_app.policy.rules import UNTOLD, Act, Doing, Whose


def doing_of(identity: Identity, workflow: Workflow | None) -> Doing:
    """Return whether a workflow is the identity's own, another person's, or unknown.

    Without a workflow, the result is unknown.
    """
    return Doings([workflow]).of(identity, workflow) if workflow else UNTOLD


def people_by(source: WorkflowSource) -> str:
    """Return how a source's people are matched: by `email` or `username`."""
    return str(source.document.get("people", "email"))


def roles_in(workflow: Workflow, identity: Identity) -> frozenset[str]:
    """Return an identity's roles in a workflow.

    People whom a source names are matched by email address, or by username if the source's document specifies
    this. Machines match nobody, and neither do unconfirmed addresses.
    """
    by = people_by(workflow.source) if workflow.source else "email"
    confirmed = "" if identity.email_unconfirmed else identity.email
    spelled = folded(confirmed if by == "email" else identity.username)
    named = {
        "assignee": bool(spelled) and identity.is_person and spelled in map(folded, workflow.assigned),
        "on_call": bool(spelled) and identity.is_person and spelled in map(folded, workflow.on_call),
    }
    own = {
        "assignee": workflow.assignee_id == identity.pk,
        "member": (
            identity.pk in (workflow.assignee_id, workflow.opened_by_id)
            or workflow.members.filter(pk=identity.pk).exists()
        ),
    }
    found = {role for roles in (named, own) for role, holds in roles.items() if holds}
    return frozenset(found | ({"member"} if found else set()))


class Doings:
    """Determines whether each of several workflows is an identity's own.

    The accounts of the people whom the sources name are read once.
    """

    def __init__(self, workflows: Iterable[Workflow]) -> None:
        names = {(people_by(one.source), name) for one in workflows if one.source for name in _named(one)}
        self._accounts = _accounts(names)

    def of(self, identity: Identity, workflow: Workflow) -> Doing:
        """Return whether one of the workflows is the identity's own, another person's, or unknown.

        If the identity itself is among those who opened or changed a workflow, it is the identity's own.
        Otherwise, an unknown person makes it unknown.
        """
        source = workflow.source
        acts = (
            [
                *self._acts(identity, source, Act.OPENED, workflow.named_openers or None),
                *self._acts(identity, source, Act.CHANGED, workflow.named_changers),
            ]
            if source
            else [_in_stint(identity, workflow)]
        )
        return min(acts, key=lambda one: (Whose.OWN, Whose.UNKNOWN, Whose.OTHER).index(one.whose))

    def _acts(
        self, identity: Identity, source: WorkflowSource, act: Act, names: Sequence[str] | None
    ) -> list[Doing]:
        if names is None:
            return [Doing(Whose.UNKNOWN, act)]
        return [Doing(self._whose(identity, source, name), act, name) for name in names]

    def _whose(self, identity: Identity, source: WorkflowSource, name: str) -> Whose:
        by = people_by(source)
        accounts = self._accounts.get((by, folded(name)), ())
        if any(are_same_person(identity, one) for one in accounts):
            return Whose.OWN
        sure = any(by == "username" or not one.email_unconfirmed for one in accounts)
        return Whose.OTHER if sure or name in _trusted(source) else Whose.UNKNOWN


def _in_stint(identity: Identity, workflow: Workflow) -> Doing:
    """Return whether a workflow that was opened in Stint is the identity's own or another person's.

    The result never changes.
    """
    opener = workflow.opened_by
    if opener is None:
        return UNTOLD
    whose = Whose.OWN if are_same_person(identity, opener) else Whose.OTHER
    return Doing(whose, Act.OPENED, opener.username)


def _named(workflow: Workflow) -> list[str]:
    return [*workflow.named_openers, *(workflow.named_changers or ())]


def _trusted(source: WorkflowSource) -> frozenset[str]:
    return frozenset(name.casefold() for name in source.document.get("trusted_openers", ()))


def _accounts(names: Iterable[tuple[str, str]]) -> dict[tuple[str, str], list[Identity]]:
    """Return the accounts that have one of the names, keyed by the matching field and the case-folded
    name.
    """
    wanted = list(names)
    if not wanted:
        return {}
    found: dict[tuple[str, str], list[Identity]] = {}
    having = Q(person__in={_stored(name) for by, name in wanted if by == "email"}) | Q(
        username__in={folded(name) for by, name in wanted if by == "username"}
    )
    for one in Identity.objects.select_related("owner").filter(having):
        for key in {("email", folded(one.email)), ("username", folded(one.username))}:
            found.setdefault(key, []).append(one)
    return found


def _stored(address: str) -> str:
    """Return an address in the format of `Identity.person`, in which the database compares addresses."""
    try:
        return canonical(address).upper()
    except ValueError:
        return address.upper()
