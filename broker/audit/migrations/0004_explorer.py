"""Indexes by which the record is searched, and what a verification that goes on from the last one needs to say."""

from __future__ import annotations

from django.db import migrations, models

# What Stint's own parts did, most of all, has no actor_id. What is not about grants and requests is little among much.
INDEXES = """
CREATE INDEX audit_entry_event ON audit_entry (event, seq);
CREATE INDEX audit_entry_by ON audit_entry (actor_id, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_entry_type ON audit_entry (object_type, seq)
    WHERE object_type <> 'grant' AND object_type <> 'request';
"""
REMOVE = "DROP INDEX audit_entry_event, audit_entry_by, audit_entry_type;"


class Migration(migrations.Migration):
    """Indexes on entries, and two columns on verifications."""

    dependencies = [("audit", "0003_announcements")]

    operations = [
        migrations.RunSQL(INDEXES, REMOVE),
        migrations.AddField(
            model_name="auditverification",
            name="first_seq",
            field=models.BigIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="auditverification",
            name="whole_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.RunSQL("UPDATE audit_verification SET whole_at = at", migrations.RunSQL.noop),
    ]
