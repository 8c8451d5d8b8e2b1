"""One index less for each sweep to write."""

from __future__ import annotations

from django.db import migrations, models


class Migration(migrations.Migration):
    """Only of the few grants that are not over is it asked which have a version."""

    dependencies = [("sessions_app", "0005_notice_also_to")]
    operations = [
        migrations.AlterField(
            model_name="grant",
            name="command_set_version",
            field=models.ForeignKey(
                db_index=False,
                on_delete=models.deletion.PROTECT,
                related_name="grants",
                to="sessions_app.commandsetversion",
            ),
        ),
    ]
