"""The base of Stint's management commands."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand


class StintCommand(BaseCommand):
    """A command that skips Django's system checks, because they load every page. `migrate` checks the
    settings, and `check` checks everything.
    """

    requires_system_checks: list[str] = []


class EarlyCommand(StintCommand):
    """An entry in Django's list of commands, for a command that `manage.py` runs before Django is set up."""

    @staticmethod
    def main(argv: Sequence[str]) -> int:
        """Run the command with its arguments. Return the exit status."""
        raise NotImplementedError

    @staticmethod
    def command_line() -> ArgumentParser:
        """Return the parser of the command line."""
        raise NotImplementedError

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> ArgumentParser:  # type: ignore[override]
        """Return the command's own parser, for `manage.py help` and the reference."""
        return self.command_line()

    def run_from_argv(self, argv: list[str]) -> None:
        sys.exit(self.main(argv[2:]))

    def handle(self, *_args: Any, **_options: Any) -> None:
        sys.exit(self.main([]))
