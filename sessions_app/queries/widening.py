"""What a changed document may allow that the stored one does not."""

from __future__ import annotations

from sessions_app.models import CommandSet
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.documents import DocumentError
from sessions_app.policy.widening import wider_commands
from sessions_app.queries.commands import document_of


def wider_set(name: str, document: CommandSetDocument) -> list[str]:
    """Return the part of a command set that may allow more than its published version; empty if none does.

    A set that is new or removed, or that can't be read, allows nothing yet.
    """
    command_set = CommandSet.objects.live().filter(name=name).prefetch_related("versions").first()
    published = command_set.published if command_set else None
    try:
        before = document_of(published) if published else None
    except DocumentError:
        before = None
    return [] if before and wider_commands(before, document) is None else ["commands"]
