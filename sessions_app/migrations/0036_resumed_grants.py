"""Names what a notification about a suspended grant asks for. The column does not change."""

from __future__ import annotations

from django.db import migrations, models

ASKS = [
    ("", "nothing"),
    ("verdict", "a verdict on its request"),
    ("answer", "an answer in the thread of its request"),
    ("decision", "a decision on its held command"),
    ("release", "to resume its suspended grant"),
    ("review", "a review of its grant"),
    ("again", "to submit a new request, because its request was not approved"),
    ("time", "to extend its grant, or to finish"),
    ("live", "to know about its grant while it lasts"),
    ("digest", "decisions on what its sender waits for"),
]


class Migration(migrations.Migration):
    """A label of a choice, which the database doesn't store."""

    dependencies = [("sessions_app", "0035_sealed_orders")]
    operations = [
        migrations.AlterField(
            "notice",
            "asks",
            models.CharField(blank=True, choices=ASKS, db_default="", default="", max_length=8),
        )
    ]
