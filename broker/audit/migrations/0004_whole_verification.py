"""How far the verification of a whole log has come, which reads it a part at a time."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """One row for each log that is being read from its first entry."""

    dependencies = [("audit", "0003_checkpoints")]
    operations = [
        migrations.CreateModel(
            name="AuditReading",
            fields=[
                ("log", models.TextField(primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("seq", models.BigIntegerField(default=0)),
                ("sealed", models.BinaryField(default=b"")),
            ],
            options={"db_table": "audit_reading"},
        )
    ]
