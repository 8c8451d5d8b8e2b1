"""An address that an administrator changed says nothing to the identity provider until its owner confirms it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """Whether an address waits for its owner's word."""

    dependencies = [
        ("accounts", "0042_sign_ins_ended"),
    ]

    operations = [
        migrations.AddField(
            model_name="identity",
            name="email_unconfirmed",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
