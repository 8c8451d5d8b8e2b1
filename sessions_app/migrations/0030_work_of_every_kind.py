"""Work of every kind, its sources, and what they deliver."""

import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models

LOOSE = "DROP TRIGGER stint_workflow_fixed ON sessions_app_workflow;"
AS_BEFORE = """
CREATE TRIGGER stint_workflow_fixed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN ((OLD.provider, OLD.kind, OLD.ref, OLD.opened_by_id) IS DISTINCT FROM
          (NEW.provider, NEW.kind, NEW.ref, NEW.opened_by_id))
    EXECUTE FUNCTION stint_refuse('What a piece of work is never changes.');
"""
FIXED = """
CREATE TRIGGER stint_workflow_fixed BEFORE UPDATE ON sessions_app_workflow FOR EACH ROW
    WHEN ((OLD.provider, OLD.kind, OLD.ref, OLD.opened_by_id, OLD.source_id, OLD.outside_id) IS DISTINCT FROM
          (NEW.provider, NEW.kind, NEW.ref, NEW.opened_by_id, NEW.source_id, NEW.outside_id))
    EXECUTE FUNCTION stint_refuse('What a piece of work is never changes.');
"""


class Migration(migrations.Migration):
    """Sources, deliveries, and what is known of a piece of work."""

    dependencies = [
        ("sessions_app", "0060_webhooks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        # The type of a column that a trigger looks at can't change.
        migrations.RunSQL(LOOSE, AS_BEFORE),
        migrations.CreateModel(
            name="InboundDelivery",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("key", models.CharField(max_length=200)),
                ("event", models.CharField(blank=True, max_length=100)),
                ("hints", models.JSONField(default=list)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("received", "Waits"),
                            ("handled", "Handled"),
                            ("ignored", "Means nothing here"),
                        ],
                        default="received",
                        max_length=8,
                    ),
                ),
                ("received_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("handled_at", models.DateTimeField(blank=True, null=True)),
                ("closed", models.PositiveIntegerField(default=0)),
                ("last_error", models.TextField(blank=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="WorkflowSource",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("name", models.SlugField(max_length=63, unique=True)),
                ("provider", models.CharField(max_length=32)),
                ("summary", models.CharField(blank=True, max_length=200)),
                ("document", models.JSONField(default=dict)),
                ("sealed", models.BinaryField(default=b"")),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("changed_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("removed_at", models.DateTimeField(blank=True, null=True)),
                ("read_at", models.DateTimeField(blank=True, null=True)),
                ("last_error", models.TextField(blank=True)),
                ("failed_at", models.DateTimeField(blank=True, null=True)),
                ("asking_until", models.DateTimeField(blank=True, null=True)),
                ("refused", models.PositiveBigIntegerField(default=0)),
                ("refused_recorded_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.RemoveConstraint(
            model_name="workflow",
            name="workflow_once_per_provider",
        ),
        migrations.AddField(
            model_name="workflow",
            name="asked_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="assigned",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="workflow",
            name="assignee",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="assigned_work",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField(
            model_name="workflow",
            name="ends_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="facts",
            field=models.JSONField(default=dict),
        ),
        migrations.AddField(
            model_name="workflow",
            name="members",
            field=models.ManyToManyField(related_name="joined_work", to=settings.AUTH_USER_MODEL),
        ),
        migrations.AddField(
            model_name="workflow",
            name="on_call",
            field=models.JSONField(default=list),
        ),
        migrations.AddField(
            model_name="workflow",
            name="outside_id",
            field=models.CharField(blank=True, max_length=128),
        ),
        migrations.AddField(
            model_name="workflow",
            name="read_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="read_error",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="starts_at",
            field=models.DateTimeField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="workflow",
            name="url",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AlterField(
            model_name="workflow",
            name="kind",
            field=models.CharField(
                choices=[
                    ("incident", "Incident"),
                    ("change", "Change"),
                    ("ticket", "Ticket"),
                    ("task", "Task"),
                    ("pipeline", "Pipeline"),
                ],
                max_length=10,
            ),
        ),
        migrations.AlterField(
            model_name="workflow",
            name="provider",
            field=models.CharField(default="stint", max_length=32),
        ),
        migrations.AlterField(
            model_name="workflow",
            name="ref",
            field=models.CharField(max_length=200),
        ),
        migrations.AddField(
            model_name="inbounddelivery",
            name="source",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="deliveries",
                to="sessions_app.workflowsource",
            ),
        ),
        migrations.AddField(
            model_name="workflow",
            name="source",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="workflows",
                to="sessions_app.workflowsource",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.UniqueConstraint(fields=("ref",), name="workflow_ref_once"),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.UniqueConstraint(
                condition=models.Q(("source__isnull", False), ("state", "open")),
                fields=("source", "outside_id"),
                name="workflow_open_once_per_source",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("starts_at__isnull", True),
                    ("ends_at__isnull", True),
                    ("ends_at__gt", models.F("starts_at")),
                    _connector="OR",
                ),
                name="workflow_ends_after_start",
            ),
        ),
        migrations.AddConstraint(
            model_name="workflow",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("outside_id", ""), ("source__isnull", True)),
                    models.Q(("source__isnull", False), models.Q(("outside_id", ""), _negated=True)),
                    _connector="OR",
                ),
                name="workflow_of_a_source_has_its_id",
            ),
        ),
        migrations.AddIndex(
            model_name="inbounddelivery",
            index=models.Index(
                condition=models.Q(("state", "received")), fields=["received_at"], name="delivery_waiting"
            ),
        ),
        migrations.AddIndex(
            model_name="inbounddelivery",
            index=models.Index(fields=["source", "-received_at"], name="delivery_newest"),
        ),
        migrations.AddConstraint(
            model_name="inbounddelivery",
            constraint=models.UniqueConstraint(fields=("source", "key"), name="delivery_once_per_source"),
        ),
        migrations.AddField(
            model_name="accessrequest",
            name="vouched",
            field=models.BooleanField(default=False, db_default=False),
        ),
        migrations.RunSQL(FIXED, LOOSE),
    ]
