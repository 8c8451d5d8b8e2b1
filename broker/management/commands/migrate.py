"""Django's `migrate`, which checks this installation's settings and not all of the code again."""

from __future__ import annotations

from typing import ClassVar

from django.core.checks import Tags
from django.core.management.commands import migrate


class Command(migrate.Command):
    """Migrate. What says something about the code alone is left to `manage.py check` and the tests."""

    requires_system_checks: ClassVar[list[str]] = [Tags.security, Tags.database]  # type: ignore[misc]
