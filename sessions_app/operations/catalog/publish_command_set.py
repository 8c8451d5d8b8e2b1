"""Publish a draft of a command set. A published version never changes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from django.db import transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.record import record
from broker.kernel.errors import Conflict, NotFound, StintError
from broker.kernel.text import checked_text
from sessions_app.models import CommandSet, CommandSetVersion
from sessions_app.operations.catalog.catalog_lock import lock_catalog
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.catalog.propose_version import propose_version
from sessions_app.operations.catalog.save_draft import OnlyAdministratorsSetUp, may_set_up
from sessions_app.policy.commands.examples import check_examples
from sessions_app.queries.catalog.command_sets import document_of
from sessions_app.queries.catalog.unenforceable import unfit_where_used
from sessions_app.queries.catalog.widening import wider_set


class NotFitToPublish(StintError):
    """The linter found errors or unaccepted warnings, or examples fail. ``fields`` names each problem."""

    code = "not_fit_to_publish"
    status = 422


def publish_command_set(
    *, version_id: int, actor: Identity, accepted: Mapping[str, str] | None = None, now: dt.datetime
) -> CommandSetVersion:
    """Publish a draft.

    ``accepted`` maps a warning's `code where` to the reason for accepting it, which approvers see.

    Anyone who can edit the command set's drafts can publish them. If the actor is not a Stint administrator
    and the draft may allow more than the published version, the draft stays unpublished until another
    administrator publishes the proposal. Existing grants keep the approved version. Raises
    OnlyAdministratorsSetUp, NotFound, Conflict (already published), NotFitToPublish, AlreadyProposed.
    """
    with transaction.atomic():
        lock_catalog()
        version = (
            CommandSetVersion.objects.select_for_update(no_key=True, of=("self",))
            .select_related("command_set")
            .filter(pk=version_id)
            .first()
        )
        if version is None:
            raise NotFound("Draft not found.")
        if not may_set_up(actor, CommandSet.objects.filter(pk=version.command_set_id)):
            raise OnlyAdministratorsSetUp("Only administrators can publish command sets.")
        if version.published_at is not None:
            raise Conflict(
                f"{version} is already published.", hint="To change the command set, save a new draft."
            )
        reasons = {key: checked_text(text, field="reason") for key, text in (accepted or {}).items()}
        version.accepted = {**version.accepted, **reasons}
        wider = [] if actor.is_superuser else wider_set(version.command_set.name, document_of(version))
        if wider:
            return _propose(version, wider, actor, now)
        return publish(version=version, actor=actor_of(actor), by=actor, now=now)


def _propose(
    version: CommandSetVersion, wider: list[str], actor: Identity, now: dt.datetime
) -> CommandSetVersion:
    _check_fit(version)
    rehearsed, published = Plan(), version.command_set.published
    note(
        rehearsed,
        "change",
        "command set",
        version.command_set.name,
        published and published.document,
        version.document,
    )
    propose_version(
        kind="command-sets",
        name=version.command_set.name,
        source=version.source,
        accepted=version.accepted,
        wider=wider,
        diff=rehearsed.changes[0].diff,
        actor=actor,
        now=now,
    )
    return version


def publish(
    *, version: CommandSetVersion, actor: Actor, by: Identity | None, now: dt.datetime
) -> CommandSetVersion:
    """Publish a locked draft, for which the accepted warnings are already stored.

    Publishing also restores a removed command set.

    Raises NotFitToPublish.
    """
    _check_fit(version)
    if version.command_set.removed_at is not None:
        version.command_set.removed_at = None
        version.command_set.save(update_fields=["removed_at"])
    version.published_at, version.published_by = now, by
    version.save(update_fields=["accepted", "published_at", "published_by"])
    record(
        event=Event.COMMAND_SET_PUBLISHED,
        actor=actor,
        object_type="command_set",
        now=now,
        object_ref=version.command_set.name,
        data={"version": version.number, "digest": version.digest, "accepted": version.accepted},
    )
    return version


def _check_fit(version: CommandSetVersion) -> None:
    if problems := problems_of(version):
        raise NotFitToPublish(
            f"{version.command_set} can't be published.",
            hint=" ".join(text for texts in problems.values() for text in texts),
            fields=problems,
        )


def key_of(finding: Mapping[str, str]) -> str:
    """Return the key by which a warning is accepted."""
    return f"{finding['code']} {finding['where']}"


class AcceptedFinding(NamedTuple):
    """An accepted linter warning and the reason for accepting it."""

    message: str
    reason: str


def accepted_findings(version: CommandSetVersion) -> list[AcceptedFinding]:
    """Return the warnings that were accepted when the version was published.

    Approvers see these warnings before they decide.
    """
    return [
        AcceptedFinding(finding["message"], version.accepted[key])
        for finding in version.findings
        if (key := key_of(finding)) in version.accepted
    ]


def problems_of(version: CommandSetVersion) -> dict[str, list[str]]:
    """Return the problems that prevent publishing, by location."""
    problems: dict[str, list[str]] = {}
    for finding in version.findings:
        if finding["severity"] == "error":
            problems.setdefault(finding["where"], []).append(f"{finding['message']} {finding['fix']}")
        elif not version.accepted.get(key_of(finding), "").strip():
            ask = f'To accept the warning, add a reason under `accept: {{"{key_of(finding)}": reason}}`.'
            problems.setdefault(finding["where"], []).append(f"{finding['message']} {finding['fix']} {ask}")
    if unfit := unfit_where_used(version):
        problems["commands"] = unfit
    for failure in check_examples(document_of(version)):
        problems.setdefault(failure.where, []).append(f"{failure.line}: {failure.message}")
    return problems
