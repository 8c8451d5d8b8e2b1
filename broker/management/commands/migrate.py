"""Django's `migrate`, which checks this installation's settings but not its code."""

from __future__ import annotations

from typing import ClassVar

from django.core.checks import Tags
from django.core.management.commands import migrate


class Command(migrate.Command):
    """Migrate the database. Checks of the code are left to `manage.py check` and the tests."""

    requires_system_checks: ClassVar[list[str]] = [Tags.security, Tags.database]  # type: ignore[misc]
