"""Append entries to the record in the transaction of the action that they describe."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG
from broker.kernel import request_id
from broker.kernel.errors import StintError
from broker.kernel.text import recordable

_Scalar = None | bool | int | float | str
Json = _Scalar | Sequence["Json"] | Mapping[str, "Json"]

MAX_DATA_BYTES = 64 * 1024
MAX_DEPTH = 16
# Names are indexed, and PostgreSQL limits index entries to 2,700 bytes.
MAX_NAME = 255

# The last word of a key determines whether it is a secret: `token_id` and `password_changed_at`
# are facts, but `token` and `new_password` are secrets.
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|private_?key|api_?key|secret_?key|credential|cookie"
    r"|authorization)s?\d*(?:_(?:hash|digest|value|text|plain|pem|raw))?$"
)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s.\-]+")
_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)
_MASKED = "[secret]"


class NotInTransaction(StintError):
    """A change and its entry in the record could not be saved together, so nothing was saved. This is a bug
    in Stint: report it.
    """

    code = "not_in_transaction"
    status = 500


class Unrecordable(StintError):
    """The entry is too large, or is not JSON. Nothing was changed. Shorten the input."""

    code = "unrecordable"
    status = 500


def record(
    *,
    event: Event,
    actor: Actor,
    object_type: str,
    object_ref: str,
    data: Mapping[str, Json],
    now: datetime,
    using: str = "default",
) -> None:
    """Append one entry to the main log, atomically with the transaction of the action.

    The database appends all entries of a transaction together, just before the commit. If that fails, the
    commit also fails.

    ``object_ref`` is the name that people see (``GR-7F3K``), at most 255 characters. ``data`` is JSON:
    identifiers, text, numbers and ISO dates, at most 64 KiB. The current request's ID, if any, is added as
    ``request_id``. ``now`` is aware. Secrets are masked: private keys in any text, and values of keys that
    name a secret.

    Raises NotInTransaction, Unrecordable, and the database's errors, which must abort the action. In a
    ``rehearsal``, the entry is checked but not appended.
    """
    record_many(
        event=event, actor=actor, object_type=object_type, entries=[(object_ref, data)], now=now, using=using
    )


def record_many(
    *,
    event: Event,
    actor: Actor,
    object_type: str,
    entries: Sequence[tuple[str, Mapping[str, Json]]],
    now: datetime,
    can_wait: bool = False,
    using: str = "default",
) -> None:
    """Append one entry for each pair of object and data, in this order, like ``record``. If all entries of a
    transaction have ``can_wait`` and the database can't append them, the transaction still commits, and
    the entries go to the backlog (`broker.audit.backlog`).
    """
    connection = connections[using]
    check_in_transaction(event, connection)
    if now.tzinfo is None:
        raise Unrecordable("The time of an entry must have a time zone.", hint="Pass an aware datetime.")
    _check_name(actor.name, path="actor")
    _check_name(object_type, path="object_type")
    about = [_name(ref) for ref, _ in entries]
    traced = _of_request()
    encoded = [
        json.dumps(as_recorded({**data, **traced}), ensure_ascii=False, allow_nan=False)
        for _, data in entries
    ]
    if rehearsing() or not entries:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append_at_commit(%s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb[], %s)",
            [
                MAIN_LOG,
                now,
                event.value,
                actor.name,
                actor.id,
                actor.kind,
                object_type,
                about,
                encoded,
                can_wait,
            ],
        )


def is_refusal(error: DatabaseError) -> bool:
    """Whether the database rejected an entry of the record, at the call or at the commit."""
    said = getattr(error.__cause__, "diag", None)
    named = (said.message_primary, said.table_name, said.context) if said else ()
    return any("audit_" in (text or "") for text in named)


def _of_request() -> dict[str, Json]:
    """Return the ID of the current request as data for an entry; empty outside of requests, for example in
    sweeps.
    """
    id_ = request_id.current()
    return {"request_id": id_} if id_ else {}


@contextmanager
def rehearsal() -> Iterator[None]:
    """Run the block in a transaction that is always rolled back. Nothing is recorded, and the record is not
    locked.
    """
    with transaction.atomic():
        token = _rehearsing.set(True)
        try:
            yield
        finally:
            _rehearsing.reset(token)
            transaction.set_rollback(True)


def rehearsing() -> bool:
    """Whether the current transaction will be rolled back."""
    return _rehearsing.get()


def check_in_transaction(event: Event, connection: BaseDatabaseWrapper) -> None:
    """Raise NotInTransaction unless the action's transaction is open."""
    if not connection.in_atomic_block:
        raise NotInTransaction(
            f"{event.value} would be recorded outside the transaction of the action.",
            hint="Call this inside transaction.atomic().",
        )


def as_recorded(data: Mapping[str, Json]) -> dict[str, Json]:
    """Return the data of an entry as the record stores it, with secrets masked. Raises Unrecordable."""
    kept = _mapping(data, path="data", depth=0)
    size = len(json.dumps(kept, ensure_ascii=False).encode())
    if size > MAX_DATA_BYTES:
        raise Unrecordable(
            f"The data has {size} bytes; an entry can have at most {MAX_DATA_BYTES}.",
            hint="Record a digest, and store the content elsewhere.",
        )
    return kept


def _name(ref: str) -> str:
    """Return a name as the record stores it, truncated if masking made it longer."""
    kept = recordable(ref)
    name = kept if kept == ref else kept[:MAX_NAME]
    _check_name(name, path="object_ref")
    return name


def _check_name(name: str, *, path: str) -> None:
    if not 1 <= len(name) <= MAX_NAME:
        raise Unrecordable(
            f"{path} has {len(name)} characters; it needs 1 to {MAX_NAME}.",
            hint="Record a shortened name here, and the full one in the data.",
        )
    if recordable(name) != name:
        raise Unrecordable(f"{path} contains text that can't be stored.", hint="Names must be plain text.")


def _mapping(value: Mapping[str, Json], *, path: str, depth: int) -> dict[str, Json]:
    kept: dict[str, Json] = {}
    for key, item in value.items():
        if not isinstance(key, str):
            raise Unrecordable(
                f"{path} has the key {key!r}, which is not text.", hint="JSON keys must be text."
            )
        found = _value(item, path=f"{path}.{key}", depth=depth + 1)
        kept[recordable(key)] = _MASKED if _is_secret(key, item) else found
    return kept


def _is_secret(key: str, item: object) -> bool:
    """Whether a key names a secret and has a value other than null or a boolean."""
    return not (item is None or isinstance(item, bool)) and bool(
        _SECRET_KEY.search(_WORD_START.sub("_", key).lower())
    )


def _value(value: object, *, path: str, depth: int) -> Json:
    if depth > MAX_DEPTH:
        raise Unrecordable(f"{path} is nested deeper than {MAX_DEPTH} levels.", hint="Flatten it.")
    if isinstance(value, Mapping):
        return _mapping(value, path=path, depth=depth)
    if isinstance(value, list | tuple):
        return [_value(item, path=f"{path}[{index}]", depth=depth + 1) for index, item in enumerate(value)]
    return _scalar(value, path=path)


def _scalar(value: object, *, path: str) -> _Scalar:
    if isinstance(value, str):
        return recordable(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise Unrecordable(f"{path} does not fit in 64 bits.", hint="Record it as text.")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Unrecordable(f"{path} is {value}, which JSON can't represent.", hint="Record null or text.")
        return value
    raise Unrecordable(
        f"{path} is a {type(value).__name__}, which is not JSON.",
        hint="Record text, such as .isoformat() or str(id).",
    )
