"""What Stint's management commands have in common."""

from __future__ import annotations

from django.core.management.base import BaseCommand


class StintCommand(BaseCommand):
    """Starts without Django's system checks, which load every page. `migrate` checks the settings, `check` everything."""

    requires_system_checks: list[str] = []
