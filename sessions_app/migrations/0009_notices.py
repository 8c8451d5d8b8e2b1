"""Who asks by a notice or a message to a webhook, how urgently, and how many times, so that many become one."""

from __future__ import annotations

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

ASKS = [
    ("", "nothing"),
    ("verdict", "a verdict on its request"),
    ("answer", "an answer in the thread of its request"),
    ("decision", "a decision on its held command"),
    ("release", "to release its held grant"),
    ("review", "a review of its grant"),
    ("again", "to submit a new request, because its request was not approved"),
    ("time", "to extend its grant, or to finish"),
    ("live", "to know about its grant while it lasts"),
    ("digest", "decisions on what its sender waits for"),
]


class Migration(migrations.Migration):
    """Five fields and an index."""

    dependencies = [
        ("sessions_app", "0008_trees"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]
    operations = [
        migrations.AddField("notice", "count", models.PositiveIntegerField(db_default=1, default=1)),
        migrations.AddField(
            "notice",
            "sender",
            models.ForeignKey(
                blank=True, db_constraint=False, db_index=False, null=True, related_name="+",
                on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("notice", "urgent", models.BooleanField(db_default=False, default=False)),
        migrations.AlterField(
            "notice", "asks", models.CharField(blank=True, choices=ASKS, db_default="", default="", max_length=8)
        ),
        migrations.AddField(
            "webhookmessage",
            "sender",
            models.ForeignKey(
                db_constraint=False, db_index=False, null=True, related_name="+",
                on_delete=django.db.models.deletion.CASCADE, to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddField("webhookmessage", "urgent", models.BooleanField(db_default=False, default=False)),
        migrations.AddIndex(
            "notice",
            models.Index(
                condition=models.Q(("sender__isnull", False)), fields=["identity", "-created_at"], name="notice_of_sender"
            ),
        ),
    ]  # fmt: skip
