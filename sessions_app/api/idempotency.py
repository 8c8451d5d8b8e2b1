"""Idempotent POST requests: a repeat with the same `Idempotency-Key` gets the first response again
(draft-ietf-httpapi-idempotency-key).

The operation and its response are committed together, so a crash keeps both or neither. An error changes
nothing and is not stored, so the same key can be tried again. Responses are stored for a day.

An operation that calls a target can't run in a transaction, because the transaction would hold locks until
the target responds. Its key is reserved and committed first. After a crash during the operation, a repeated
request does nothing.
"""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import re
from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from django.db import connection, transaction
from django.utils.crypto import salted_hmac
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from broker.kernel import clock
from broker.kernel.errors import Conflict, InvalidInput, StintError
from sessions_app.api.endpoint import Endpoint
from sessions_app.connectors.base import CALL_SECONDS
from sessions_app.models import IdempotencyKey
from sessions_app.policy.digests import canonical

P = ParamSpec("P")
View = TypeVar("View", bound=Endpoint)
Handler = Callable[Concatenate[View, P], Response]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = dt.timedelta(days=1)
_KEY = re.compile(r"[!-~]{1,200}")
_SHOWN_ONCE = {"shown_once": True}
# After this time, an operation that calls a target has ended, or its process has: an operation calls one
# target, for at most `CALL_SECONDS`.
_LONGEST = dt.timedelta(seconds=2 * CALL_SECONDS)


class KeyReused(StintError):
    """The idempotency key was already used for another request. Use a new key."""

    code = "idempotency_key_reused"
    status = 422


class StillRunning(Conflict):
    """The first request with this idempotency key is still in progress. Try again in a moment."""

    code = "idempotency_key_in_use"


class ShownOnce(Conflict):
    """The first response contained a secret that is shown only once. Create a new secret with a new
    idempotency key.
    """

    code = "shown_once"


def once(handler: Handler[View, P]) -> Handler[View, P]:
    """Make a POST handler honor the idempotency key, if one is sent.

    Raises KeyReused, StillRunning, ShownOnce, InvalidInput.
    """

    @functools.wraps(handler)
    def inner(view: View, *args: P.args, **kwargs: P.kwargs) -> Response:
        key = view.request.headers.get(HEADER)
        if key is None:
            return handler(view, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                f"{HEADER} is not valid.", hint="Use 1 to 200 visible ASCII characters, such as a UUID."
            )
        if view.asks_target:
            return _reserved(view, key, lambda: handler(view, *args, **kwargs))
        with transaction.atomic():
            _lock(view, key)
            if kept := _kept(view, key):
                return _again(kept)
            try:
                response = handler(view, *args, **kwargs)
            except StintError as error:
                refused = error
            else:
                _fill(_reserve(view, key), view, response)
                return response
        # Outside the transaction, so that data that the handler stored before it failed, such as a closed
        # workflow, is kept, just as without a key.
        raise refused

    return cast("Handler[View, P]", inner)


def _reserved(view: Endpoint, key: str, act: Callable[[], Response]) -> Response:
    """Run the handler outside of a transaction, with the key reserved. An error releases the key."""
    with transaction.atomic(durable=True):
        _lock(view, key)
        if kept := _kept(view, key):
            return _again(kept)
        reserved = _reserve(view, key)
    try:
        response = act()
    except Exception:
        # In any error case, there is no response to repeat.
        reserved.delete()
        raise
    _fill(reserved, view, response)
    return response


def _lock(view: Endpoint, key: str) -> None:
    """Lock the key until the commit. Raises StillRunning immediately instead of waiting for another
    request.
    """
    name = hashlib.sha256(f"idempotency {view.identity.pk} {key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(name[:8], signed=True)])
        (free,) = cursor.fetchone()
    if not free:
        raise _still_running()


def _still_running() -> StillRunning:
    return StillRunning(
        "The first request with this key is still in progress.", hint="Wait for its response."
    )


def _kept(view: Endpoint, key: str) -> IdempotencyKey | None:
    mine = IdempotencyKey.objects.filter(identity=view.identity)
    mine.filter(created_at__lt=clock.now() - KEPT).delete()
    kept = mine.filter(key=key).first()
    if kept is not None and kept.fingerprint != _fingerprint(view):
        raise KeyReused(
            f"This {HEADER} was already used for another request.",
            hint="Use a new key for each request.",
        )
    return kept


def _fingerprint(view: Endpoint) -> str:
    request = view.request
    # A keyed digest, because the body may contain a password, which an attacker could guess from a plain
    # digest.
    text = f"{request.method} {request.path} {canonical(request.data)}"
    if view.identity.bound_to:
        # All runs of a pipeline share one identity, but each run makes its own requests.
        text = f"{view.identity.bound_to} {text}"
    return salted_hmac("stint.idempotency", text, algorithm="sha256").hexdigest()


def _again(kept: IdempotencyKey) -> Response:
    body: Any = kept.body
    if body is None and clock.now() - kept.created_at < _LONGEST:
        raise _still_running()
    if body in (None, _SHOWN_ONCE):
        raise ShownOnce(
            "This request was already processed, and its secret was shown once.",
            hint="If you lost the secret, revoke it and create a new one with a new key.",
        )
    return Response(
        json.loads(body["text"]), status=kept.status, headers={**body["headers"], REPLAYED: "true"}
    )


def _reserve(view: Endpoint, key: str) -> IdempotencyKey:
    return IdempotencyKey.objects.create(
        identity=view.identity, key=key, fingerprint=_fingerprint(view), created_at=clock.now()
    )


def _fill(kept: IdempotencyKey, view: Endpoint, response: Response) -> None:
    # Stored as text, because the database would reorder the members of an object.
    text = JSONRenderer().render(response.data).decode()
    headers = {name: response.headers[name] for name in ("Location",) if name in response.headers}
    kept.status = response.status_code
    kept.body = _SHOWN_ONCE if view.answers_secret else {"text": text, "headers": headers}
    kept.save(update_fields=["status", "body"])
