"""A password that another person chose is replaced at the first sign-in."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Whether the password is another person's choice."""

    dependencies = [
        ("accounts", "0043_email_unconfirmed"),
    ]

    operations = [
        migrations.AddField(
            model_name="identity",
            name="password_given",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
