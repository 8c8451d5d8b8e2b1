"""Indexes by which the record is searched, and what a verification that goes on from the last one needs to say."""

from __future__ import annotations

from django.db import migrations, models

# Entries of Stint's own parts, most of all, have no actor_id; verifications are few among many.
INDEXES = """
CREATE INDEX audit_entry_event ON audit_entry (event, seq);
CREATE INDEX audit_entry_by ON audit_entry (actor_id, seq) WHERE actor_id IS NOT NULL;
CREATE INDEX audit_entry_log ON audit_entry (seq) WHERE object_type = 'log';
"""
REMOVE = "DROP INDEX audit_entry_event, audit_entry_by, audit_entry_log;"


class Migration(migrations.Migration):
    """Indexes on entries, and two columns on verifications."""

    dependencies = [("audit", "0002_auditbacklog")]

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
