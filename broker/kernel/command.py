"""The base of Stint's management commands."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand


class StintCommand(BaseCommand):
    """A command without Django's system checks, which load every page. `migrate` checks the settings, `check` everything."""

    requires_system_checks: list[str] = []


class EarlyCommand(StintCommand):
    """An entry in Django's list of commands, for a command that `manage.py` runs before Django is set up."""

    @staticmethod
    def main(argv: Sequence[str]) -> int:
        """Run the command with its arguments. Return the exit status."""
        raise NotImplementedError

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(self.main(argv[2:]))

    def handle(self, *_args: Any, **_options: Any) -> None:
        sys.exit(self.main([]))
