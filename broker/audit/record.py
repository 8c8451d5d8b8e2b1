"""Write one entry, in the transaction of the act that it tells of."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from broker.audit.actor import Actor
from broker.audit.events import Event
from broker.audit.models import MAIN_LOG
from broker.kernel.errors import StintError

_Scalar = None | bool | int | float | str
Json = _Scalar | Sequence["Json"] | Mapping[str, "Json"]

MAX_DATA_BYTES = 64 * 1024
MAX_DEPTH = 16
# Names are indexed, and an index entry has room for 2,700 bytes.
MAX_NAME = 255

# The last word counts: `token_id` and `password_changed_at` are facts, `token` and `new_password` secrets.
_SECRET_KEY = re.compile(
    r"(?:^|_)(?:password|passwd|passphrase|secret|token|private_?key|api_?key|secret_?key|credential|cookie"
    r"|authorization)s?\d*(?:_(?:hash|digest|value|text|plain|pem|raw))?$"
)
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|[\s.\-]+")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_rehearsing: ContextVar[bool] = ContextVar("rehearsing", default=False)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


class NotInTransaction(StintError):
    """``record`` was called outside a transaction, so the act and its entry could part."""

    code = "not_in_transaction"
    status = 500


class Unrecordable(StintError):
    """The data is not JSON, is too large or looks like it holds a secret."""

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
) -> int:
    """Append one entry to the main log and return its number.

    Call it in the transaction of the act, after every other row of the act is locked or written: the log's
    head stays locked until the commit, so a transaction that waits for another row while it holds the head
    holds up every other act, or deadlocks with one.

    ``object_ref`` is the name people see (``GR-7F3K``), at most 255 characters; ``data`` is JSON: identifiers,
    text, numbers, ISO dates, at most 64 KiB; ``now`` is aware. Text from outside may hold what can't be stored,
    so pass it through ``recordable``. Raises NotInTransaction, Unrecordable, and the database's errors, which
    must stop the act. In a ``rehearsal`` it checks, appends nothing and returns 0.
    """
    connection = connections[using]
    check_in_transaction(event, connection)
    if now.tzinfo is None:
        raise Unrecordable("The time of an entry needs a time zone.", hint="Pass an aware datetime.")
    for path, name in (("actor", actor.name), ("object_type", object_type), ("object_ref", object_ref)):
        _check_name(name, path=path)
    encoded = _encode(data)
    if rehearsing():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append(%s, %s, %s, %s, %s, %s, %s, %s::jsonb)",
            [MAIN_LOG, now, event.value, actor.name, actor.id, object_type, object_ref, encoded],
        )
        (seq,) = cursor.fetchone()
    return int(seq)


def record_many(
    *,
    event: Event,
    actor: Actor,
    object_type: str,
    entries: Sequence[tuple[str, Mapping[str, Json]]],
    now: datetime,
    using: str = "default",
) -> None:
    """Append one entry for each object and its data, in that order, in one call. Only a part of Stint itself may be the
    actor. Raises as ``record`` does.
    """
    connection = connections[using]
    check_in_transaction(event, connection)
    if actor.id is not None:
        raise Unrecordable(
            "Many entries at once are of a part of Stint alone.", hint="Record them one by one."
        )
    for path, name in (
        ("actor", actor.name),
        ("object_type", object_type),
        *(("object_ref", ref) for ref, _ in entries),
    ):
        _check_name(name, path=path)
    encoded = [_encode(data) for _, data in entries]
    if rehearsing() or not entries:
        return
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT audit_append_many(%s, %s, %s, %s, %s, %s, %s::jsonb[])",
            [MAIN_LOG, now, event.value, actor.name, object_type, [ref for ref, _ in entries], encoded],
        )


@contextmanager
def rehearsal() -> Iterator[None]:
    """Do everything in a transaction that is always undone, so that nothing is recorded and the record stays free."""
    with transaction.atomic():
        token = _rehearsing.set(True)
        try:
            yield
        finally:
            _rehearsing.reset(token)
            transaction.set_rollback(True)


def rehearsing() -> bool:
    """Whether everything that is done now is going to be undone."""
    return _rehearsing.get()


def check_in_transaction(event: Event, connection: BaseDatabaseWrapper) -> None:
    """Raise NotInTransaction unless the act's transaction is open."""
    if not connection.in_atomic_block:
        raise NotInTransaction(
            f"{event.value} would be recorded outside the transaction of the act.",
            hint="Call it inside transaction.atomic().",
        )


def recordable(text: str) -> str:
    r"""Return text that can be stored: NUL and lone surrogates are written as ``\x00`` and ``\udc80``."""
    return _UNSTORABLE.sub(lambda match: ascii(match.group())[1:-1], text)


def _check_name(name: str, *, path: str) -> None:
    if not 1 <= len(name) <= MAX_NAME:
        raise Unrecordable(
            f"{path} has {len(name)} characters; it needs 1 to {MAX_NAME}.",
            hint="Record a shortened name here and the whole one in the data.",
        )
    _check_scalar(name, path=path)


def _encode(data: Mapping[str, Json]) -> str:
    _check(data, path="data", depth=0)
    encoded = json.dumps(data, ensure_ascii=False, allow_nan=False, default=dict)
    size = len(encoded.encode())
    if size > MAX_DATA_BYTES:
        raise Unrecordable(
            f"The data has {size} bytes; an entry holds at most {MAX_DATA_BYTES}.",
            hint="Record a digest and keep the content elsewhere.",
        )
    return encoded


def _check(value: object, *, path: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unrecordable(f"{path} is nested deeper than {MAX_DEPTH} levels.", hint="Record it flat.")
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_key(key, path=path)
            _check(item, path=f"{path}.{key}", depth=depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check(item, path=f"{path}[{index}]", depth=depth + 1)
    else:
        _check_scalar(value, path=path)


def _check_key(key: object, *, path: str) -> None:
    if not isinstance(key, str):
        raise Unrecordable(f"{path} has the key {key!r}, which is not text.", hint="JSON keys are text.")
    _check_scalar(key, path=f"A key of {path}")
    if _SECRET_KEY.search(_WORD_START.sub("_", key).lower()):
        raise Unrecordable(
            f"{path}.{key} looks like a secret, which the record never holds.",
            hint="Record its id, name or fingerprint instead.",
        )


def _check_scalar(value: object, *, path: str) -> None:
    if isinstance(value, str):
        if _UNSTORABLE.search(value):
            raise Unrecordable(f"{path} has a NUL or a lone surrogate.", hint="Pass it through recordable().")
        if _PRIVATE_KEY.search(value):
            raise Unrecordable(f"{path} holds a private key.", hint="Record its fingerprint instead.")
    elif isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise Unrecordable(f"{path} does not fit in 64 bits.", hint="Record it as text.")
    elif isinstance(value, float) and not math.isfinite(value):
        raise Unrecordable(f"{path} is {value}, which JSON can't hold.", hint="Record null or text.")
    elif not (value is None or isinstance(value, bool | int | float)):
        raise Unrecordable(
            f"{path} is a {type(value).__name__}, which is not JSON.",
            hint="Record text, e.g. .isoformat() or str(id).",
        )
