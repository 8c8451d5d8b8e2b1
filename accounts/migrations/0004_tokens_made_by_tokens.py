"""Adds which token created a token, so that both are revoked together."""

from __future__ import annotations

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The token that created a token."""

    dependencies = [("accounts", "0002_shared_cache")]
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
        )
    ]
