"""The rows around one grant that its page shows."""

from __future__ import annotations

from accounts.models import Identity, SSHPublicKey
from broker.kernel.postgresql.rows import Rows
from sessions_app.models import AccessRequest, Grant, Lease, Session
from sessions_app.queries.statements.composed import Listed

# The grant, if the reader can end it.
ENDABLE = Listed(
    lambda reader, _, grant: Grant.objects.endable_by(reader).filter(pk=grant).only("pk"), grant=int
)
LEASES = Rows(
    Lease,
    "target",
    tail="WHERE sessions_app_lease.grant_id = %s ORDER BY gone_at, sessions_app_target.name",
)
SESSIONS = Rows(
    Session,
    "target",
    tail="WHERE sessions_app_session.grant_id = %s ORDER BY sessions_app_session.id DESC LIMIT 20",
)
PENDING_EXTENSION = Rows(
    AccessRequest,
    only=("number",),
    tail="WHERE sessions_app_accessrequest.extends_id = %s AND state = %s ORDER BY id LIMIT 1",
)


def has_key(holder: Identity) -> bool:
    """Whether the holder has an SSH key."""
    return SSHPublicKey.objects.filter(identity=holder, removed_at__isnull=True).exists()
