"""What a notice asks, and of what."""

from __future__ import annotations

from django.db import migrations, models

FIELDS = {"request": "accessrequest", "run": "commandrun", "grant": "grant"}
ASKS = [
    ("", "nothing"),
    ("verdict", "a verdict on its request"),
    ("answer", "an answer in the thread of its request"),
    ("decision", "a decision on its held command"),
    ("release", "to let its held grant go on"),
    ("review", "a review of its grant"),
    ("again", "to ask again, as its request was not approved"),
    ("time", "to extend its grant, or to finish"),
    ("live", "to know of its grant while it lasts"),
]


class Migration(migrations.Migration):
    """Notices settle by the rows that they are about. Without constraints, for checking one would lock those rows."""

    dependencies = [("sessions_app", "0008_target_account_is_said")]
    operations = [
        migrations.AddField(
            model_name="notice",
            name="asks",
            field=models.CharField(blank=True, choices=ASKS, db_default="", default="", max_length=8),
        ),
        *(
            migrations.AddField(
                model_name="notice",
                name=name,
                field=models.ForeignKey(
                    blank=True,
                    db_constraint=False,
                    db_index=False,
                    null=True,
                    on_delete=models.deletion.CASCADE,
                    related_name="+",
                    to=f"sessions_app.{model}",
                ),
            )
            for name, model in FIELDS.items()
        ),
    ]
