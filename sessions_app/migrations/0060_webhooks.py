"""Outgoing webhooks, and what waits for an answer."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Endpoints, their messages, and who is told next."""

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
        ("sessions_app", "0070_gateway_host_keys"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="WebhookEndpoint",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.SlugField(max_length=63, unique=True)),
                ("summary", models.CharField(blank=True, max_length=200)),
                ("url", models.CharField(max_length=500)),
                ("events", models.JSONField(default=list)),
                (
                    "scope",
                    models.CharField(
                        choices=[
                            ("policies", "what happens under policies that name it"),
                            ("everything", "everything"),
                        ],
                        default="policies",
                        max_length=10,
                    ),
                ),
                ("sealed_secret", models.BinaryField(default=b"")),
                ("sealed_previous", models.BinaryField(default=b"")),
                ("previous_until", models.DateTimeField(blank=True, null=True)),
                ("after", models.BigIntegerField(default=0)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("paused_at", models.DateTimeField(blank=True, null=True)),
                ("pause_reason", models.CharField(blank=True, max_length=200)),
                ("failing_since", models.DateTimeField(blank=True, null=True)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("busy_until", models.DateTimeField(blank=True, null=True)),
                ("rest_until", models.DateTimeField(blank=True, null=True)),
                ("owner_groups", models.ManyToManyField(related_name="+", to="auth.group")),
                ("owner_people", models.ManyToManyField(related_name="+", to=settings.AUTH_USER_MODEL)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="Escalation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("began_at", models.DateTimeField()),
                ("step", models.PositiveIntegerField(default=0)),
                ("due_at", models.DateTimeField(null=True)),
                (
                    "grant",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="escalation",
                        to="sessions_app.grant",
                    ),
                ),
                (
                    "request",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="escalation",
                        to="sessions_app.accessrequest",
                    ),
                ),
                (
                    "run",
                    models.OneToOneField(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="escalation",
                        to="sessions_app.commandrun",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("due_at__isnull", False)),
                        fields=["due_at"],
                        name="escalation_due",
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                ("grant__isnull", True), ("request__isnull", False), ("run__isnull", True)
                            ),
                            models.Q(
                                ("grant__isnull", True), ("request__isnull", True), ("run__isnull", False)
                            ),
                            models.Q(
                                ("grant__isnull", False), ("request__isnull", True), ("run__isnull", True)
                            ),
                            _connector="OR",
                        ),
                        name="escalation_of_one_thing",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="WebhookMessage",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=64)),
                ("entry", models.BigIntegerField(null=True)),
                ("event", models.CharField(max_length=40)),
                ("object_ref", models.CharField(blank=True, max_length=255)),
                ("payload", models.TextField()),
                (
                    "state",
                    models.CharField(
                        choices=[("pending", "waits"), ("sent", "taken"), ("failed", "given up")],
                        default="pending",
                        max_length=8,
                    ),
                ),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("attempts", models.PositiveIntegerField(default=0)),
                ("next_attempt_at", models.DateTimeField(blank=True, null=True)),
                ("tried_at", models.DateTimeField(blank=True, null=True)),
                ("sent_at", models.DateTimeField(blank=True, null=True)),
                ("last_status", models.PositiveIntegerField(null=True)),
                ("last_error", models.CharField(blank=True, max_length=300)),
                ("milliseconds", models.PositiveIntegerField(null=True)),
                (
                    "endpoint",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="messages",
                        to="sessions_app.webhookendpoint",
                    ),
                ),
            ],
            options={
                "default_permissions": (),
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "pending")),
                        fields=["endpoint", "next_attempt_at"],
                        name="webhook_to_send",
                    ),
                    models.Index(fields=["endpoint", "-id"], name="webhook_newest"),
                    models.Index(fields=["created_at"], name="webhook_oldest"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("key",), name="webhook_message_key_once"),
                    models.UniqueConstraint(
                        condition=models.Q(("entry__isnull", False)),
                        fields=("endpoint", "entry"),
                        name="webhook_message_once",
                    ),
                ],
            },
        ),
    ]
