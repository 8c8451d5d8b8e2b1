"""One POST, one act: a repeat with the same `Idempotency-Key` gets the first answer again (draft-ietf-httpapi-idempotency-key).

The act and its answer are committed together, so a crash leaves both or none. An error changes nothing and is not kept:
the same key may be tried again. Answers are kept for a day.
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
from sessions_app.models import IdempotencyKey
from sessions_app.policy.policies import canonical

P = ParamSpec("P")
View = TypeVar("View", bound=Endpoint)
Handler = Callable[Concatenate[View, P], Response]

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEPT = dt.timedelta(days=1)
_KEY = re.compile(r"[!-~]{1,200}")
_SHOWN_ONCE = {"shown_once": True}


class KeyReused(StintError):
    """The key stands for another request already."""

    code = "idempotency_key_reused"
    status = 422


class StillRunning(Conflict):
    """The first request with the key has not been answered yet."""

    code = "idempotency_key_in_use"


class ShownOnce(Conflict):
    """The first answer held a secret that is shown once and kept nowhere."""

    code = "shown_once"


def once(handler: Handler[View, P]) -> Handler[View, P]:
    """Make a POST handler honour the key, where one is sent. Raises KeyReused, StillRunning, ShownOnce, InvalidInput."""

    @functools.wraps(handler)
    def inner(view: View, *args: P.args, **kwargs: P.kwargs) -> Response:
        key = view.request.headers.get(HEADER)
        if key is None:
            return handler(view, *args, **kwargs)
        if not _KEY.fullmatch(key):
            raise InvalidInput(
                f"{HEADER} is not valid.", hint="Use 1 to 200 visible ASCII characters, such as a UUID."
            )
        with transaction.atomic():
            _lock(view, key)
            if kept := _kept(view, key):
                return _again(kept)
            try:
                response = handler(view, *args, **kwargs)
            except StintError as error:
                refused = error
            else:
                _keep(view, key, response)
                return response
        # Outside, because what was found out on the way, as that work is closed, is kept as it is without a key.
        raise refused

    return cast("Handler[View, P]", inner)


def _lock(view: Endpoint, key: str) -> None:
    """Hold the key until the commit; whoever comes meanwhile is told so at once instead of waiting."""
    name = hashlib.sha256(f"idempotency {view.identity.pk} {key}".encode()).digest()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [int.from_bytes(name[:8], signed=True)])
        (free,) = cursor.fetchone()
    if not free:
        raise StillRunning(
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
    # With our key, because a body may hold a password, which could be guessed from a plain digest.
    text = f"{request.method} {request.path} {canonical(request.data)}"
    if view.identity.bound_to:
        # The runs of a pipeline are one identity, and each asks for itself.
        text = f"{view.identity.bound_to} {text}"
    return salted_hmac("stint.idempotency", text, algorithm="sha256").hexdigest()


def _again(kept: IdempotencyKey) -> Response:
    body: Any = kept.body
    if body == _SHOWN_ONCE:
        raise ShownOnce(
            "This request was already processed, and its secret was shown once.",
            hint="If you lost the secret, revoke it and create a new one with a new key.",
        )
    return Response(
        json.loads(body["text"]), status=kept.status, headers={**body["headers"], REPLAYED: "true"}
    )


def _keep(view: Endpoint, key: str, response: Response) -> None:
    # As text: the database would put the members of an object into another order.
    text = JSONRenderer().render(response.data).decode()
    headers = {name: response.headers[name] for name in ("Location",) if name in response.headers}
    IdempotencyKey.objects.create(
        identity=view.identity,
        key=key,
        fingerprint=_fingerprint(view),
        status=response.status_code,
        body=_SHOWN_ONCE if view.answers_secret else {"text": text, "headers": headers},
        created_at=clock.now(),
    )
