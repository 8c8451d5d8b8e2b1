"""Find the refused commands of a period without reading every command."""

from django.db import migrations, models
from django.db.models import Q


class Migration(migrations.Migration):
    """Adds the index."""

    dependencies = [("sessions_app", "0019_legal_holds")]

    operations = [
        migrations.AddIndex(
            model_name="commandrun",
            index=models.Index(fields=["tried_at"], condition=Q(state="refused"), name="run_refused_at"),
        ),
    ]
