"""Order a gateway to transfer one file of a grant, or to list a folder, from the grant's page."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.conf import settings
from django.db import connection, transaction

from accounts.actors import actor_of
from accounts.models import Identity
from broker.audit.events import Event
from broker.audit.record import Json, record
from broker.kernel.crypto import place_of, seal
from broker.kernel.errors import Conflict, InvalidInput, StintError
from broker.kernel.sealed_channel import new_key
from broker.kernel.text import recordable
from sessions_app.models import CommandOrder, FilePiece, OrderedFile
from sessions_app.operations.sessions.order_command import (
    LAPSES,
    LineRefused,
    check_length,
    line_typed,
    make_room,
    use_on_page,
)
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.operations.sessions.try_command import explain
from sessions_app.policy.commands.answers import Refused
from sessions_app.policy.commands.kind import Forms
from sessions_app.policy.commands.ssh import tree
from sessions_app.policy.commands.ssh.decide import Allowed, decide, lines_for
from sessions_app.policy.commands.ssh.file_rules import DIRECTIONS, Direction
from sessions_app.policy.commands.ssh.transfers import Facts
from sessions_app.queries.gateways.ordered_files import WAITS, most_on_page, sealed_pieces

# The maximum files, without listings, that wait for a grant, for a person, and in total.
OF_GRANT, OF_HOLDER, OF_ALL = 4, 8, 64
# The number of listings of a grant that are kept. A new one replaces the oldest.
LISTINGS = 8


class FileTooLarge(StintError):
    """The file is larger than the page of a grant can transfer. Transfer it with `stint cp`."""

    code = "file_too_large"
    status = 413


class TooManyFiles(Conflict):
    """Too many files of pages wait to be saved. Save one of them, or wait ten minutes."""

    code = "too_many_files"


@dataclass(frozen=True, slots=True)
class Content:
    """The content of an upload, with its size in bytes and its SHA-256 in hex."""

    size: int
    sha256: str
    pieces: Iterable[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The transfer that a holder wants: a rule's ``index`` with its ``values``, or a ``path`` and its
    ``direction``: `get`, `put` or `list`.
    """

    index: int = -1
    values: Mapping[str, str] = field(default_factory=dict)
    direction: str = ""
    path: str = ""


def order_file(
    *,
    grant_id: int,
    actor: Identity,
    target: str,
    wanted: Wanted,
    content: Content | None = None,
    client_address: str = "",
    now: dt.datetime,
) -> CommandOrder:
    """Order a gateway to download, upload or list what one of the actor's grants allows. ``content`` is what
    to upload.

    The gateway decides again, as for SFTP. What is not allowed is also ordered, so that the gateway refuses
    and records it like any other; then LineRefused is raised, and no content is stored. Also raises NotFound
    (not the actor's grant), GrantIsOver, InvalidInput, FileTooLarge, TooManyOrders, TooManyFiles.
    """
    use, forms = use_on_page(grant_id, actor, target, now)
    if not isinstance(use, Use):
        raise InvalidInput(f"{use.grant_ref} has no files.", hint="Files are transferred over SSH.")
    line, decision = _decided(use, forms, wanted, content)
    with transaction.atomic():
        make_room(grant_id, now)
        order = CommandOrder.objects.create(
            grant_id=grant_id,
            target_id=use.target.id,
            line=recordable(line),
            asked_by=actor,
            client_address=client_address[:64],
            created_at=now,
            lapses_at=now + LAPSES,
        )
        if isinstance(decision, Allowed):
            _keep(order, decision, content, now)
        record(
            event=Event.COMMAND_ORDERED,
            actor=actor_of(actor),
            object_type="grant",
            object_ref=use.grant_ref,
            now=now,
            data={
                "order": order.pk,
                "line": order.line,
                "target": use.target.name,
                "from": client_address,
                **_about(content),
            },
        )
    if isinstance(decision, Refused):
        raise LineRefused(
            f"Not allowed: {explain(decision)}",
            hint="Nothing was sent to the target. The attempt was recorded.",
            fields={decision.value: [f"{decision.reason}."]} if decision.value else None,
        )
    return order


def too_large(line: str = "stint cp") -> FileTooLarge:
    """Return the error for a file that is larger than pages transfer. ``line`` does the same elsewhere."""
    return FileTooLarge(
        f"The file is larger than {most_on_page()}, the most that a page transfers.",
        hint=f"Use `{line}`, which has no such limit.",
    )


def _decided(
    use: Use, forms: Forms, wanted: Wanted, content: Content | None
) -> tuple[str, Allowed | Refused]:
    """Return the line, and the decision on it. Raises InvalidInput if it isn't the line of a transfer."""
    if wanted.direction:
        line = tree.line_for(_direction(wanted.direction), wanted.path)
        decision = decide(use.compiled, line)
    else:
        found = lines_for(use.compiled, wanted.index, wanted.values)
        line = (
            found.line
            if isinstance(found, Allowed)
            else line_typed(use, forms, found, wanted.index, wanted.values)
        )
        decision = decide(use.compiled, line)
        # The form's own refusal names the field.
        decision = found if isinstance(decision, Refused) and isinstance(found, Refused) else decision
    check_length(wanted.values, line)
    if isinstance(decision, Refused):
        return line, decision
    transfer = decision.transfer
    if transfer is None or (transfer.direction == "put") != (content is not None):
        raise InvalidInput("Choose a file to upload." if content is None else "This is not an upload.")
    if content is not None:
        if content.size > settings.PAGE_FILE_BYTES:
            raise too_large(f"stint cp FILE {use.grant_ref}.{use.target.name}:{transfer.path}")
        # The rule may refuse this size or digest.
        facts = Facts(content.size, content.sha256).words()
        stated = tree.line_for("put", transfer.path, facts)
        if isinstance(refused := decide(use.compiled, stated), Refused):
            return stated, refused
    return line, decision


def _direction(text: str) -> Direction:
    for direction in DIRECTIONS:
        if direction == text:
            return direction
    raise InvalidInput("A transfer is get, put or list.")


def _about(content: Content | None) -> dict[str, Json]:
    return {} if content is None else {"bytes": content.size, "sha256": content.sha256}


def _keep(order: CommandOrder, decision: Allowed, content: Content | None, now: dt.datetime) -> None:
    """Store where the content goes, and the encrypted content of an upload."""
    if decision.transfer is None:
        raise AssertionError
    direction = decision.transfer.direction
    _limit(order, direction)
    file = OrderedFile(
        order=order,
        grant_id=order.grant_id,
        holder_id=order.asked_by_id,
        direction=direction,
        path=recordable(decision.transfer.path),
        kept_until=now + WAITS,
    )
    key = new_key()
    file.sealed_key = seal(key, place=place_of(file, "sealed_key"))
    if content is not None:
        file.size, file.sha256, file.complete_at = content.size, content.sha256, now
    file.save(force_insert=True)
    for number, sealed in enumerate(sealed_pieces(content.pieces, key) if content is not None else ()):
        FilePiece.objects.create(file=file, number=number, sealed=sealed)


def _limit(order: CommandOrder, direction: str) -> None:
    """Raise TooManyFiles if no more files can wait, and make room for a listing."""
    if direction == "list":
        listings = OrderedFile.objects.filter(grant=order.grant_id, direction="list")
        old = listings.filter(complete_at__isnull=False).order_by("-pk").values_list("pk", flat=True)
        # The database deletes the pieces.
        OrderedFile.objects.filter(pk__in=list(old[LISTINGS - 1 :])).delete()
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('stint_files', %s))", [order.asked_by_id]
        )
    files = OrderedFile.objects.exclude(direction="list")
    if (
        files.filter(grant=order.grant_id).count() >= OF_GRANT
        or files.filter(holder=order.asked_by_id).count() >= OF_HOLDER
        or files.count() >= OF_ALL
    ):
        raise TooManyFiles(
            "Too many files are waiting to be saved or transferred.",
            hint="Save one of them, or try again in ten minutes.",
        )
