"""Adds which token created a token, so that both end together. People without an email address become nobody in particular,
so that several of their accounts count as no second person.
"""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import Case, Q, TextField, Value, When
from django.db.models.functions import Cast, Concat, Upper


class Migration(migrations.Migration):
    """The token that created a token, and who is behind an account without an address."""

    dependencies = [("accounts", "0003_attempts")]
    operations = [
        migrations.AddField(
            model_name="apitoken",
            name="made_by",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to="accounts.apitoken",
            ),
        ),
        migrations.RemoveIndex(model_name="identity", name="identity_person"),
        migrations.RemoveField(model_name="identity", name="person"),
        migrations.AddField(
            model_name="identity",
            name="person",
            field=models.GeneratedField(
                expression=Case(
                    When(~Q(email=""), then=Upper(Cast("email", TextField()))),
                    When(kind="person", then=Value("", TextField())),
                    default=Concat(Value("#", TextField()), Cast("id", TextField())),
                ),
                output_field=TextField(),
                db_persist=True,
            ),
        ),
        migrations.AddIndex(
            model_name="identity", index=models.Index(fields=["person"], name="identity_person")
        ),
    ]
