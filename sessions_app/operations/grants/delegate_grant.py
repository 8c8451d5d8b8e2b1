"""Delegate part of a grant, for example from a person to a pipeline to an agent."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace

from django.db import transaction
from django.db.models import Q

from accounts.actors import actor_of
from accounts.models import Identity
from accounts.names import canonical_username
from accounts.queries import group_names
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Forbidden, InvalidInput, NotFound, StintError
from broker.kernel.text import checked_text
from broker.kernel.trace_ids import Life
from broker.kernel.tracing import begins
from sessions_app.models import (
    AccessRequest,
    CommandSetVersion,
    Grant,
    GrantState,
    RequestKind,
    RequestState,
    Target,
)
from sessions_app.models.request import next_number
from sessions_app.operations.grants.errors import GrantIsOver
from sessions_app.operations.grants.make_grant import as_words, make_grant, workflow_fact
from sessions_app.operations.notifications.notify import notify
from sessions_app.policy.commands.answers import CompileError
from sessions_app.policy.commands.kinds import covers
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.durations import say_duration
from sessions_app.policy.scope import Extent
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.grants.delegations import chain_of
from sessions_app.queries.requests import facts
from sessions_app.queries.workflows.doings import doing_of

_MOST = 200


class NotItsHolder(Forbidden):
    """Only the holder of a grant can delegate it, get its token or send its heartbeats. Sign in as the
    holder.
    """

    code = "not_its_holder"


class NotWithin(StintError):
    """The delegated part exceeds the grant, or the policy does not allow delegation. The message names the
    limit.
    """

    code = "not_within"
    status = 422


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The part to delegate, by names.

    If ``targets`` is None, the part has all of the grant's targets. ``duration`` is in seconds; None means
    until the grant's end.
    """

    identity: str
    command_set: str
    parameters: dict[str, str]
    targets: tuple[str, ...] | None = None
    duration: int | None = None
    reason: str = ""


def _life_of(grant: Grant) -> Life:
    return Life(grant.request_id, grant.ref)


@begins("stint.delegate", _life_of)
def delegate_grant(*, grant_id: int, actor: Identity, part: Part, now: dt.datetime) -> Grant:
    """Create a grant for another identity that allows no more than the original grant, and ends with it.

    The policy determines who can receive delegated grants, and through how many levels. No
    new approval is needed, because the new grant allows no more than was approved. It has the same
    cluster and workflow. Its targets, commands and time are within those of the original, and each command is
    at least as strict. Raises NotFound, NotItsHolder, GrantIsOver, NotWithin, InvalidInput.
    """
    part = replace(part, reason=checked_text(part.reason, field="reason"))
    with transaction.atomic():
        # With this lock held, the end of the original grant either waits for this transaction or has already
        # happened.
        parent = (
            Grant.objects.visible_to(actor)
            .select_for_update(no_key=True, of=("self",))
            .filter(pk=grant_id)
            .first()
        )
        if parent is None:
            raise NotFound("Grant not found.")
        if parent.holder_id != actor.pk:
            raise NotItsHolder("Only the holder of a grant can delegate it.")
        delegate = Identity.objects.active().filter(username=canonical_username(part.identity)).first()
        if why := why_not_on(parent, delegate, now):
            raise NotWithin(
                why,
                hint="The policy determines who can receive a delegated grant, and through how many levels.",
                fields={"identity": [why]},
            )
        if delegate is None:
            raise NotFound("Identity not found.")
        request = _request(parent, delegate, part, now)
        return _make(parent, request, actor, now)


def why_not_on(parent: Grant, delegate: Identity | None, now: dt.datetime) -> str:
    """Return why no part of this grant can currently be delegated to this identity; empty if delegation is
    possible.

    Raises GrantIsOver.
    """
    if not Grant.objects.in_use(now).filter(pk=parent.pk).exists():
        raise GrantIsOver(f"{parent.ref} is not active.", hint="Only active grants can be delegated.")
    terms = facts.approved_document(parent).delegation
    if terms is None or parent.review_due_at is not None:
        return f"{parent.ref} can't be delegated."
    if len(chain_of(parent)) > terms.depth:
        return f"It is already at delegation level {terms.depth}, the limit of {parent.policy}."
    named = {canonical_username(name) for name in terms.to.identities}
    listed = delegate is not None and (
        delegate.username in named or group_names(delegate) & set(terms.to.groups)
    )
    if not listed or delegate is None:
        return f"{parent.policy} does not allow delegation to this identity."
    if why := _own_doing(delegate, parent):
        return f"{why}, and machines get no access from workflows that are, or may be, their own."
    holders = {grant.holder_id for grant in chain_of(parent)}
    return f"{delegate} already holds this grant." if delegate.pk in holders else ""


def _own_doing(delegate: Identity, grant: Grant) -> str:
    """Return, without a period, why the workflow that replaced the grant's approvals may be the
    delegate's own.

    Empty for people, and if the workflow is known to be another person's.
    """
    first = chain_of(grant)[0].request
    by_workflow = first.kind == RequestKind.INCIDENT or first.vouched
    if delegate.is_person or not by_workflow or grant.workflow is None:
        return ""
    doing = doing_of(delegate, grant.workflow)
    return "" if doing.is_others else doing.said(grant.workflow.ref, f"{delegate} or its owner")


def delegates_of(parent: Grant, now: dt.datetime) -> list[Identity]:
    """Return the identities to which the holder can currently delegate part of a grant, sorted by name."""
    readable = facts.readable_document(parent.policy)
    terms = facts.approved_document(parent).delegation if readable else None
    if (
        terms is None
        or parent.review_due_at is not None
        or parent.state != GrantState.ACTIVE
        or parent.held_at is not None
    ):
        return []
    chain = chain_of(parent)
    if parent.expires_at <= now or len(chain) > terms.depth:
        return []
    names = [canonical_username(name) for name in terms.to.identities]
    listed = Q(username__in=names) | Q(groups__name__in=terms.to.groups)
    found = Identity.objects.active().filter(listed).exclude(pk__in=[one.holder_id for one in chain])
    named = found.select_related("owner").distinct().order_by("username")[:_MOST]
    return [one for one in named if not _own_doing(one, parent)]


def why_not_within(parent: Grant, request: AccessRequest, now: dt.datetime) -> str:
    """Return why a delegated grant exceeds its parent grant; empty if it doesn't."""
    try:
        if why := why_not_on(parent, request.requester, now):
            return why
        ours = commands.compiled(parent.command_set_version, parent.parameters, parent.commands)
        theirs = commands.compiled(request.command_set_version, request.parameters, kept(parent, request))
    except (StintError, DocumentError, CompileError) as error:
        return str(error)
    return covers(ours, theirs) or theirs.off_limits(parent.cluster.connection) or ""


def why_not_delegated(grant: Grant, now: dt.datetime) -> str:
    """Return a sentence about why a delegated grant may not start or continue; empty if it may."""
    request = AccessRequest.objects.select_related(
        "requester__owner",
        "cluster",
        "command_set_version__command_set",
        "workflow",
        "parent__policy",
        "parent__holder",
        "parent__command_set_version__command_set",
    ).get(pk=grant.request_id)
    if facts.scope_of(request).digest() != request.digest:
        return "Targets or commands changed since the approval."
    if request.parent is None:
        return f"{grant.ref} was not delegated."
    return why_not_within(request.parent, request, now)


def kept(parent: Grant, request: AccessRequest) -> list[int] | None:
    """Return the indices of the commands that a delegated grant keeps from its command set.

    For the parent's command set, these are the commands that approvers kept; for another command set, None
    (all commands).
    """
    same = parent.command_set_version_id == request.command_set_version_id
    return list(parent.commands) if same else None


def _request(parent: Grant, delegate: Identity, part: Part, now: dt.datetime) -> AccessRequest:
    version = _version(parent, part.command_set)
    targets = _targets(parent, part.targets)
    left = int((parent.expires_at - now).total_seconds())
    duration = left if part.duration is None else part.duration
    if type(duration) is not int or not 0 < duration <= left:
        raise NotWithin(
            f"{parent.ref} ends in {say_duration(max(0, left))}.",
            hint="Choose a shorter duration.",
            fields={"duration": ["Longer than the parent grant."]},
        )
    request = AccessRequest(
        number=next_number(),
        kind=RequestKind.DELEGATION,
        requester=delegate,
        cluster=parent.cluster,
        policy=parent.policy,
        policy_version=parent.policy.version,
        command_set_version=version,
        parent=parent,
        workflow=parent.workflow,
        parameters=_parameters(parent, version, part.parameters),
        targets=[target.pk for target in targets],
        duration=duration,
        terms=parent.request.terms,
        reason=part.reason,
        state=RequestState.APPROVED,
        created_at=now,
        decided_at=now,
        lapses_at=now,
    )
    if why := why_not_within(parent, request, now):
        raise NotWithin(
            f"{parent.ref} does not cover the requested commands: {why}.",
            hint="Delegate fewer commands, or request new access.",
        )
    request.digest = facts.scope_of(request).digest()
    request.save()
    return request


def _version(parent: Grant, name: str) -> CommandSetVersion:
    if parent.command_set_version.command_set.name == name:
        # Use the approved version of the command set, not a newer one.
        return parent.command_set_version
    found = commands.published_version(name)
    if found is None:
        raise InvalidInput(
            "Command set not found.", fields={"command_set": ["Name a published command set."]}
        )
    return found


def _targets(parent: Grant, names: tuple[str, ...] | None) -> list[Target]:
    own = list(parent.targets.order_by("name"))
    wanted = own if names is None else [target for target in own if target.name in names]
    if not wanted or (names is not None and set(names) != {target.name for target in wanted}):
        raise NotWithin(
            f"{parent.ref} does not cover these targets.",
            hint=f"Its targets are: {', '.join(target.name for target in own)}.",
        )
    return wanted


def _parameters(parent: Grant, version: CommandSetVersion, given: dict[str, str]) -> dict[str, str]:
    """Return the parameters.

    Parameters from the workflow keep their values. Parameters of the parent's command set keep their values
    unless new ones are given.
    """
    workflow, taken = parent.workflow, facts.workflow_parameters(version)
    same = version.pk == parent.command_set_version_id
    kept_values = {**(parent.parameters if same else {}), **given}
    for name, fact in taken.items():
        value = workflow.fact(fact) if workflow else ""
        if not value or kept_values.get(name, value) != value:
            raise NotWithin(f"{name} comes from the workflow, where the value is {value or 'not set'}.")
        kept_values[name] = value
    return kept_values


def _make(parent: Grant, request: AccessRequest, actor: Identity, now: dt.datetime) -> Grant:
    keep = kept(parent, request)
    compiled = commands.compiled(request.command_set_version, request.parameters, keep)
    extent = Extent(
        request.duration,
        frozenset(command.index for command in compiled.commands),
        frozenset(request.targets),
    )
    document = facts.approved_document(request)
    grant = make_grant(request=request, extent=extent, document=document, actor=actor_of(actor), now=now)
    record(
        event=Event.GRANT_DELEGATED,
        actor=actor_of(actor),
        object_type="grant",
        object_ref=parent.ref,
        now=now,
        data={
            "to": request.requester.username,
            "grant": grant.ref,
            "request": request.ref,
            "command_set": str(request.command_set_version),
            "parameters": as_words(request.parameters),
            "duration": request.duration,
            "reason": request.reason,
            "chain": [grant.ref for grant in chain_of(parent)],
            **workflow_fact(request),
        },
    )
    notify(
        people=[request.requester],
        event=Event.GRANT_DELEGATED,
        now=now,
        path=f"/grants/{grant.ref}/",
        subject=f"{actor} delegated part of {parent.ref} to you: {grant.ref}",
        body=f"{request.command_set_version.command_set} on {request.cluster}\n{request.reason}".strip(),
    )
    return grant
