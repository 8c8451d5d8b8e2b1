"""Labels of choices, as pages show them."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """The values stay as they are."""

    dependencies = [
        ("sessions_app", "0022_policies_notify"),
    ]

    operations = [
        migrations.AlterField(
            model_name="drift",
            name="kind",
            field=models.CharField(
                choices=[
                    ("missing", "Access that a grant needs is missing"),
                    ("changed", "Access was changed outside Stint"),
                    ("orphan", "Access is left over from an ended grant"),
                ],
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="grant",
            name="end_reason",
            field=models.CharField(
                blank=True,
                choices=[
                    ("expired", "Expired"),
                    ("released", "Ended by the holder"),
                    ("revoked", "Revoked"),
                    ("workflow_closed", "Workflow closed"),
                    ("policy_changed", "Policy changed"),
                    ("identity_disabled", "Holder disabled"),
                    ("provision_failed", "Could not be started"),
                    ("cluster_removed", "Cluster removed"),
                    ("deviation", "Too many refused commands"),
                    ("silent", "Heartbeat missed"),
                    ("parent_ended", "Parent grant ended"),
                    ("restored", "Database restored from a backup"),
                ],
                max_length=20,
            ),
        ),
        migrations.AlterField(
            model_name="inbounddelivery",
            name="state",
            field=models.CharField(
                choices=[("received", "Pending"), ("handled", "Handled"), ("ignored", "Ignored")],
                default="received",
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="webhookendpoint",
            name="scope",
            field=models.CharField(
                choices=[
                    ("policies", "Events under policies that name this webhook"),
                    ("everything", "All events"),
                ],
                default="policies",
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="webhookmessage",
            name="state",
            field=models.CharField(
                choices=[("pending", "Pending"), ("sent", "Delivered"), ("failed", "Failed")],
                default="pending",
                max_length=8,
            ),
        ),
    ]
