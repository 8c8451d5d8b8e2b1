"""Publish the command set that a file defines."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from accounts.models import Identity
from broker.audit.actor import Actor
from broker.kernel.errors import InvalidInput
from sessions_app.models import (
    CommandSet,
)
from sessions_app.operations.catalog.catalog_plan import Plan, note
from sessions_app.operations.catalog.publish_command_set import NotFitToPublish, publish
from sessions_app.operations.catalog.save_draft import write_draft
from sessions_app.policy.catalog import (
    CommandSetFile,
)
from sessions_app.policy.commands.document import digest as command_set_digest
from sessions_app.policy.commands.findings import Finding


def is_published(command_set: CommandSet | None, file: CommandSetFile) -> bool:
    """Whether the command set is published exactly as the file defines it."""
    current = command_set.published if command_set and command_set.removed_at is None else None
    return (
        current is not None
        and current.digest == command_set_digest(file.document)
        and current.accepted == dict(file.accept)
    )


def write_command_set(
    file: CommandSetFile,
    plan: Plan,
    actor: Actor,
    now: dt.datetime,
    *,
    by: Identity | None = None,
    findings: Sequence[Finding] | None = None,
) -> None:
    """Publish the command set in the file, unless it is already published.

    ``by`` is the person who publishes it, if any. ``findings`` are the linter's findings, if available.

    Raises InvalidInput if the command set can't be published.
    """
    command_set = CommandSet.objects.filter(name=file.name).prefetch_related("versions").first()
    if is_published(command_set, file):
        return
    current = command_set.published if command_set else None
    live = command_set is not None and command_set.removed_at is None
    version = write_draft(file=file, actor=by, now=now, findings=findings)
    try:
        publish(version=version, actor=actor, by=by, now=now)
    except NotFitToPublish as error:
        place = f"command-sets/{file.name}"
        raise InvalidInput(
            f"{place} can't be published. Nothing was changed.",
            hint=error.hint,
            fields={f"{place}: {where}": texts for where, texts in error.fields.items()},
        ) from error
    before = current.document if current and live else None
    note(plan, "change" if before else "create", "command set", file.name, before, version.document)
