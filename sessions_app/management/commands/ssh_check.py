"""`manage.py ssh_check CLUSTER`: log in to each target and report what works and what to fix."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from broker.audit.actor import Actor
from broker.kernel import clock
from broker.kernel.command import StintCommand
from sessions_app.models import Target
from sessions_app.operations.targets.look_at_target import is_right, look_at_target


class Command(StintCommand):
    """Check a cluster's targets. Exits with 1 if something needs fixing."""

    help = "Log in to each target of a cluster, and report what works and what to fix."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("cluster", help="name of the cluster")
        parser.add_argument("--target", default=None, help="check only this target")

    def handle(self, *args: Any, **options: Any) -> None:
        targets = (
            Target.objects.live()
            .filter(cluster__name=options["cluster"], cluster__kind="ssh")
            .order_by("name")
        )
        if options["target"]:
            targets = targets.filter(name=options["target"])
        if not targets:
            raise CommandError("Target not found. Create it with `manage.py apply`.")
        wrong = [target.name for target in targets.select_related("cluster") if not self._check(target)]
        if wrong:
            raise CommandError(f"Needs fixing: {', '.join(wrong)}.")

    def _check(self, target: Target) -> bool:
        self.stdout.write(f"{target.name} ({target.account}@{target.address} port {target.port})")
        steps = look_at_target(target=target, actor=Actor.system("ssh_check"), now=clock.now)
        for step in steps:
            self.stdout.write(f"  {'ok   ' if step.ok else 'FAIL '} {step.name}: {step.detail}")
            if step.fix:
                self.stdout.write(f"        {step.fix}")
        return is_right(steps)
