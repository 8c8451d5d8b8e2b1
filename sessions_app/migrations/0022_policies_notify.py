"""Policies say whom to notify under ``notify``. Versions of the past keep what they said."""

from __future__ import annotations

from typing import Any

from django.db import migrations

from sessions_app.policy.policies import digest_of


def _renamed(document: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    steps = [_moved(step, before, after) for step in document.get("escalation", ())]
    return _moved(document, before, after) | ({"escalation": steps} if steps else {})


def _moved(part: dict[str, Any], before: str, after: str) -> dict[str, Any]:
    return {after if key == before else key: value for key, value in part.items()}


def _rename(before: str, after: str) -> Any:
    def run(apps: Any, _: Any) -> None:
        for policy in apps.get_model("sessions_app", "AccessPolicy").objects.iterator():
            document = _renamed(policy.document, before, after)
            if document != policy.document:
                policy.document, policy.digest = document, digest_of(document)
                policy.save(update_fields=["document", "digest"])

    return run


class Migration(migrations.Migration):
    """The digest is that of the document."""

    dependencies = [("sessions_app", "0021_event_names")]
    operations = [migrations.RunPython(_rename("tell", "notify"), _rename("notify", "tell"))]
