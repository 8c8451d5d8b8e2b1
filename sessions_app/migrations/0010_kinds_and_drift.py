"""Clusters of other kinds than hosts: how they are logged in to, what was made there, and what was seen there."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Connections, what leases hold, observations and drift."""

    dependencies = [
        ("sessions_app", "0009_who_reviewed"),
    ]

    operations = [
        migrations.AddField(
            model_name="cluster",
            name="connection",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="cluster",
            name="sealed_connection",
            field=models.BinaryField(default=b""),
        ),
        migrations.AddField(
            model_name="lease",
            name="connection",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="lease",
            name="made",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="lease",
            name="made_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="lease",
            name="making_until",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="lease",
            name="sealed_connection",
            field=models.BinaryField(default=b""),
        ),
        migrations.AlterField(
            model_name="cluster",
            name="kind",
            field=models.CharField(max_length=32),
        ),
        migrations.AlterField(
            model_name="commandset",
            name="kind",
            field=models.CharField(max_length=32),
        ),
        migrations.AlterField(
            model_name="target",
            name="account",
            field=models.CharField(blank=True, default="root", max_length=32),
        ),
        migrations.CreateModel(
            name="Installation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("mark", models.CharField(max_length=8)),
            ],
            options={
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("pk", 1)), name="installation_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="Observation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("tried_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(blank=True, null=True)),
                ("grants", models.PositiveIntegerField(default=0)),
                ("error", models.TextField(blank=True)),
                (
                    "target",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="observation",
                        to="sessions_app.target",
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Drift",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("missing", "something that a grant needs is gone"),
                            ("changed", "something that a grant needs was changed by others"),
                            ("orphan", "something of a grant that is over is still there"),
                        ],
                        max_length=8,
                    ),
                ),
                ("token", models.CharField(max_length=64)),
                ("grant_ref", models.CharField(blank=True, max_length=12)),
                ("detail", models.TextField(blank=True)),
                ("seen_at", models.DateTimeField()),
                ("gone_at", models.DateTimeField(blank=True, null=True)),
                ("error", models.TextField(blank=True)),
                (
                    "target",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="drift",
                        to="sessions_app.target",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("gone_at__isnull", True)),
                        fields=("target", "kind", "token"),
                        name="drift_once",
                    )
                ],
            },
        ),
    ]
