"""`manage.py apply DIR [--plan] [--prune]`."""

from __future__ import annotations

import os
import pwd
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from broker.kernel.errors import StintError
from sessions_app.operations.catalog.apply_catalog import Plan, apply_catalog
from sessions_app.policy.catalog import FOLDERS

MARKS = {"create": "+", "change": "~", "remove": "-"}


class Command(StintCommand):
    """Apply YAML files to the catalog."""

    help = f"Apply the YAML files in DIR to the catalog (folders: {', '.join(FOLDERS)})."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("dir", type=Path)
        parser.add_argument(
            "--plan", action="store_true", help="show what would change, without changing anything"
        )
        parser.add_argument("--prune", action="store_true", help="remove objects that are in no file")

    def handle(self, *args: Any, **options: Any) -> None:
        """Read the files, apply them, and print the plan."""
        try:
            plan = apply_catalog(
                on_server=True,
                files=read_files(options["dir"]),
                actor=Actor.system("apply"),
                now=clock.now(),
                plan_only=options["plan"],
                prune=options["prune"],
            )
        except StintError as error:
            raise CommandError(str(error)) from error
        self._print(plan, planned=options["plan"])

    def _print(self, plan: Plan, *, planned: bool) -> None:
        for change in plan.changes:
            self.stdout.write(f"{MARKS[change.action]} {change.type} {change.name}")
            for line in change.diff[2:]:
                self.stdout.write(f"    {line}")
            for ref in change.ends:
                self.stdout.write(f"    {'would end' if planned else 'ended'} {ref}")
        for unused in plan.unused:
            self.stdout.write(f"  {unused} is in no file and was kept; use --prune to remove it.")
        for warning in plan.warnings:
            self.stdout.write(f"! {warning}")
        count = len(plan.changes)
        self.stdout.write(f"{count} change{'s' if count != 1 else ''}{' planned' if planned else ' made'}.")


def read_files(folder: Path) -> dict[str, str]:
    """Return the text of every .yaml and .yml file by its path relative to the folder. Raises
    CommandError.
    """
    try:
        if not folder.is_dir():
            raise CommandError(f"{folder} is not a folder. Pass the folder with {', '.join(FOLDERS)}.")
        files = _yaml_files(folder)
        if not files:
            raise CommandError(
                f"{folder} contains no .yaml files. Pass the folder with {', '.join(FOLDERS)}."
            )
        return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}
    except PermissionError as error:
        raise CommandError(
            f"The account {_account()} can't read {Path(error.filename).absolute()}. Copy {folder} to where "
            "this account can read it, such as /srv, or give the account read permission."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"A file can't be read: {error}") from error


def _yaml_files(folder: Path) -> list[Path]:
    """Return all YAML files below a folder, sorted. Raises OSError, also for a folder inside it: `--prune`
    removes whatever is in no file, so no folder may be skipped.
    """

    def refuse(error: OSError) -> None:
        raise error

    found = (Path(parent, name) for parent, _, names in os.walk(folder, onerror=refuse) for name in names)
    return sorted(path for path in found if path.suffix in {".yaml", ".yml"} and path.is_file())


def _account() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in containers, the account may have only a number
        return str(os.geteuid())
