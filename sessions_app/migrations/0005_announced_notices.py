"""Lists of one's own notices, and how pages hear of a new one.

New notices are announced on the channel ``stint_notice`` in the telling transaction, as ids separated by spaces.
"""

from __future__ import annotations

from django.db import migrations, models

ANNOUNCE = """
CREATE FUNCTION stint_notice_made() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    PERFORM stint_announce('stint_notice', (SELECT array_agg(n.id) FROM new_rows n));
    RETURN NULL;
END
$body$;
CREATE TRIGGER stint_notice_made AFTER INSERT ON sessions_app_notice
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION stint_notice_made();
"""

REMOVE = """
DROP TRIGGER stint_notice_made ON sessions_app_notice;
DROP FUNCTION stint_notice_made;
"""


class Migration(migrations.Migration):
    """Indexes of notices, and their announcement."""

    dependencies = [("sessions_app", "0004_guards_of_work")]
    operations = [
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(fields=["identity", "-id"], name="notice_of_identity"),
        ),
        migrations.AddIndex(
            model_name="notice",
            index=models.Index(
                condition=models.Q(("read_at__isnull", True)),
                fields=["identity", "-id"],
                name="notice_unread",
            ),
        ),
        migrations.RunSQL(ANNOUNCE, REMOVE),
    ]
