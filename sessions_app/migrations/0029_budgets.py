"""Budgets: counters of grants, and what each run adds to them."""

from __future__ import annotations

from decimal import Decimal

import django.db.models.deletion
from django.db import migrations, models

END_REASONS = [
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
    ("budget_used", "Budget used up"),
]


class Migration(migrations.Migration):
    """A table of counters, two columns of runs, and a reason for an end."""

    dependencies = [("sessions_app", "0028_rows")]

    operations = [
        migrations.AddField(
            model_name="commandrun",
            name="charges",
            field=models.JSONField(db_default=[], default=list),
        ),
        migrations.AddField(
            model_name="commandrun",
            name="over_budget",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AlterField(
            model_name="grant",
            name="end_reason",
            field=models.CharField(blank=True, choices=END_REASONS, max_length=20),
        ),
        migrations.AlterField(
            model_name="endintent",
            name="reason",
            field=models.CharField(choices=END_REASONS, max_length=20),
        ),
        migrations.CreateModel(
            name="BudgetUse",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=20)),
                ("used", models.DecimalField(decimal_places=6, default=Decimal(0), max_digits=40)),
                ("recent", models.JSONField(default=dict)),
                (
                    "grant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="budget_uses",
                        to="sessions_app.grant",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(fields=("grant", "key"), name="budget_use_once_per_grant")
                ],
            },
        ),
    ]
