"""What the catalogue says is kept as versions that never change, from what stands now on."""

from __future__ import annotations

from django.db import migrations, models

GUARDS = """
CREATE TRIGGER stint_document_version_fixed BEFORE UPDATE OR DELETE ON sessions_app_documentversion
    FOR EACH ROW EXECUTE FUNCTION stint_refuse('What the catalogue said never changes; apply a new version.');
CREATE TRIGGER stint_document_version_kept BEFORE TRUNCATE ON sessions_app_documentversion
    FOR EACH STATEMENT EXECUTE FUNCTION stint_refuse('What the catalogue said never changes; apply a new version.');
"""


class Migration(migrations.Migration):
    """The table and its guards."""

    dependencies = [("sessions_app", "0014_recordings_bounded")]

    operations = [
        migrations.CreateModel(
            name="DocumentVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("type", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=150)),
                ("number", models.PositiveIntegerField()),
                ("document", models.JSONField(null=True)),
                ("digest", models.CharField(blank=True, max_length=64)),
                ("at", models.DateTimeField()),
                ("by", models.CharField(max_length=255)),
                ("by_id", models.BigIntegerField(null=True)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("type", "name", "number"), name="document_version_once")
                ],
            },
        ),
        migrations.RunSQL(GUARDS, migrations.RunSQL.noop),
    ]
