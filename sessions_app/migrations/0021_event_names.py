"""Saved questions to the record ask for events by the names that they have now. The record itself is never rewritten."""

from __future__ import annotations

from django.db import migrations

NAMES = {
    "credential.given_up": "credential.revoked",
    "drift.seen": "drift.detected",
    "drift.gone": "drift.resolved",
    "identity.all_ended": "identity.grants_ended",
    "identity.device_allowed": "identity.device_authorized",
    "identity.not_mailed": "identity.mail_failed",
    "record.left_out": "record.entry_replaced",
    "recording.nearly_full": "recording.storage_low",
}
RENAME = "UPDATE sessions_app_bookmark SET query = replace(query, '{0}', '{1}') WHERE query LIKE '%{0}%'"


class Migration(migrations.Migration):
    """A question is kept as the query of its page."""

    dependencies = [("sessions_app", "0020_heartbeat_due")]
    operations = [
        migrations.RunSQL(RENAME.format(before, after), RENAME.format(after, before))
        for before, after in NAMES.items()
    ]
