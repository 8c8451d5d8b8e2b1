"""Which person an account is of stands in a column that the database itself fills."""

from __future__ import annotations

from django.db import migrations, models
from django.db.models.functions import Cast, Concat, Upper


class Migration(migrations.Migration):
    """One generated column, and its index."""

    dependencies = [("accounts", "0044_password_given")]
    operations = [
        migrations.AddField(
            "identity",
            "person",
            models.GeneratedField(
                db_persist=True,
                expression=models.Case(
                    models.When(
                        email="",
                        then=Concat(models.Value("#", models.TextField()), Cast("id", models.TextField())),
                    ),
                    default=Upper(Cast("email", models.TextField())),
                ),
                output_field=models.TextField(),
            ),
        ),
        migrations.AddIndex("identity", models.Index(fields=["person"], name="identity_person")),
    ]
