"""Store new versions of catalog documents."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Max

from broker.audit.actor import Actor
from sessions_app.models import DocumentVersion
from sessions_app.policy.digests import digest_of


def keep_versions(
    *, documents: Iterable[tuple[str, str, Any]], actor: Actor, now: dt.datetime
) -> Sequence[DocumentVersion]:
    """Store the next version of each document, and return the versions.

    ``documents`` are tuples of type, name and document; a document of None means that the object was removed.
    Secrets must be masked. Call this in the transaction of the change, with the catalog locked.
    """
    kept = [_next(type_, name, document, actor, now) for type_, name, document in documents]
    return DocumentVersion.objects.bulk_create(kept)


def _next(type_: str, name: str, document: Any, actor: Actor, now: dt.datetime) -> DocumentVersion:
    last = DocumentVersion.objects.filter(type=type_, name=name).aggregate(last=Max("number"))["last"] or 0
    return DocumentVersion(
        type=type_,
        name=name,
        number=last + 1,
        document=document,
        digest=digest_of(document) if document else "",
        at=now,
        by=actor.name,
        by_id=actor.id,
    )
