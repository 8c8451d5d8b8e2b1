"""`manage.py doctor`: check this installation, and print what is wrong, why it matters and how to fix it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError

from broker.doctor.examine import PARTS, examine
from broker.doctor.finding import Finding, Level, many
from broker.kernel.command import StintCommand

_MARKS = {Level.OK: "ok", Level.WARNING: "WARN", Level.WRONG: "FAIL"}


class Command(StintCommand):
    """Print findings as they come. Exits with 1 if there is a problem; warnings alone don't count as
    failure.
    """

    help = "Check settings, servers, processes and targets, and print what is wrong and how to fix it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "parts", nargs="*", metavar="PART", help=f"part to check: {', '.join(PARTS)} (default: all)"
        )
        parser.add_argument("--json", action="store_true", help="print one JSON object per line")

    def handle(self, *args: Any, **options: Any) -> None:
        parts = tuple(options["parts"] or PARTS)
        if unknown := [part for part in parts if part not in PARTS]:
            raise CommandError(f"Unknown part: {', '.join(unknown)}. Choose from {', '.join(PARTS)}.")
        count = dict.fromkeys(Level, 0)
        for finding in examine(parts):
            count[finding.level] += 1
            self.stdout.write(json.dumps(asdict(finding)) if options["json"] else _text(finding))
        if count[Level.WRONG]:
            raise CommandError(
                f"{many(count[Level.WRONG], 'problem')}, {many(count[Level.WARNING], 'warning')}."
            )
        if not options["json"]:
            self.stdout.write(f"No problems, {many(count[Level.WARNING], 'warning')}.")


def _text(finding: Finding) -> str:
    lines = [f"{_MARKS[finding.level]:4} {finding.part:10} {finding.said}"]
    if finding.level is not Level.OK:
        lines += [f"{'':16}{line}" for line in (finding.why, f"Fix: {finding.fix}") if line]
    return "\n".join(lines)
