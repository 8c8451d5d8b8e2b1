"""Sign-ins that can be ended without another password."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """A number that every sign-in is held against."""

    dependencies = [
        ("accounts", "0041_provider_link"),
    ]

    operations = [
        migrations.AddField(
            model_name="identity",
            name="sign_ins_ended",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
    ]
