"""Adds the encrypted lines of orders with secret values."""

from django.db import migrations, models


class Migration(migrations.Migration):
    """One column, empty in every row."""

    dependencies = [
        ("sessions_app", "0034_pieces_of_files"),
    ]

    operations = [
        migrations.AddField(
            model_name="commandorder",
            name="sealed_line",
            field=models.BinaryField(null=True),
        ),
    ]
