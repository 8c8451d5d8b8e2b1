"""Grants that too much else was tried with."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Since when a grant is held, and what counts no more."""

    dependencies = [
        ("sessions_app", "0021_read_statements"),
    ]

    operations = [
        migrations.AddField(
            model_name="grant",
            name="deviations_after",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="grant",
            name="held_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name="grant",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("expired", "its time was over"),
                    ("released", "its holder ended it"),
                    ("revoked", "it was revoked"),
                    ("workflow_closed", "the work it was for is closed"),
                    ("policy_changed", "what it rests on changed"),
                    ("identity_disabled", "its holder was disabled"),
                    ("provision_failed", "it could not be started"),
                    ("cluster_removed", "its cluster was removed"),
                    ("deviation", "too much else was tried with it"),
                ],
                max_length=20,
            ),
        ),
    ]
