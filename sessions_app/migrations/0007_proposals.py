"""Proposals, whose content never changes, and the terms that a request is approved with."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

GUARD = """
CREATE TRIGGER stint_proposal_fixed BEFORE UPDATE ON sessions_app_proposal FOR EACH ROW
    WHEN (OLD.state <> 'pending'
          OR (OLD.kind, OLD.name, OLD.source, OLD.accepted, OLD.wider, OLD.diff, OLD.based_on, OLD.proposed_by_id,
              OLD.proposed_at, OLD.lapses_at)
             IS DISTINCT FROM
             (NEW.kind, NEW.name, NEW.source, NEW.accepted, NEW.wider, NEW.diff, NEW.based_on, NEW.proposed_by_id,
              NEW.proposed_at, NEW.lapses_at))
    EXECUTE FUNCTION stint_refuse('A proposal stays as it was made; settle it, or make another.');
CREATE TRIGGER stint_request_terms_fixed BEFORE UPDATE ON sessions_app_accessrequest FOR EACH ROW
    WHEN (OLD.terms IS DISTINCT FROM NEW.terms)
    EXECUTE FUNCTION stint_refuse('What was asked for never changes; withdraw the request and ask again.');
"""
REMOVE = """
DROP TRIGGER stint_request_terms_fixed ON sessions_app_accessrequest;
DROP TRIGGER stint_proposal_fixed ON sessions_app_proposal;
"""


class Migration(migrations.Migration):
    """One table and one column."""

    dependencies = [
        ("sessions_app", "0006_openers"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.CreateModel(
            name="Proposal",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("kind", models.CharField(max_length=20)),
                ("name", models.CharField(max_length=63)),
                ("source", models.TextField()),
                ("accepted", models.JSONField(default=dict)),
                ("wider", models.JSONField()),
                ("diff", models.JSONField()),
                ("based_on", models.CharField(blank=True, max_length=64)),
                ("proposed_at", models.DateTimeField()),
                ("lapses_at", models.DateTimeField()),
                ("state", models.CharField(
                    choices=[
                        ("pending", "Pending"), ("published", "Published"), ("refused", "Refused"),
                        ("withdrawn", "Withdrawn"), ("lapsed", "Lapsed"),
                    ],
                    default="pending", max_length=10,
                )),
                ("decided_at", models.DateTimeField(null=True)),
                ("comment", models.TextField(blank=True, default="")),
                ("decided_by", models.ForeignKey(
                    null=True, on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL,
                )),
                ("proposed_by", models.ForeignKey(
                    on_delete=django.db.models.deletion.PROTECT, related_name="+", to=settings.AUTH_USER_MODEL,
                )),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state", "pending")), fields=("kind", "name"), name="proposal_once_per_document",
                    )
                ],
            },
        ),
        migrations.AddField(
            model_name="accessrequest", name="terms",
            field=models.JSONField(db_default=models.Value({}, models.JSONField()), default=dict),
        ),
        migrations.RunSQL(GUARD, REMOVE),
    ]  # fmt: skip
