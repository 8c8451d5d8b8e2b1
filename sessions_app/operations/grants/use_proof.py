"""Accept each DPoP proof only once."""

from __future__ import annotations

import datetime as dt
import hashlib

from django.db import connection, transaction

from sessions_app.models import ProofUsed

# Each call also deletes a few expired proofs, so no other cleanup is needed.
_SOME = 20


def use_proof(*, jkt: str, jti: str, expires_at: dt.datetime, now: dt.datetime) -> bool:
    """Return whether this proof for a key is used for the first time, and store the proof until
    ``expires_at``.

    Source: RFC 9449 §11.1.
    """
    digest = hashlib.sha256(f"{jkt} {jti}".encode("utf-8", "surrogatepass")).hexdigest()
    with transaction.atomic(), connection.cursor() as cursor:
        old = ProofUsed.objects.filter(expires_at__lt=now).order_by("expires_at").values("pk")[:_SOME]
        ProofUsed.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()
        cursor.execute(
            "INSERT INTO sessions_app_proofused (digest, expires_at) VALUES (%s, %s) ON CONFLICT (digest) DO"
            " NOTHING",
            [digest, expires_at],
        )
        return bool(cursor.rowcount == 1)
