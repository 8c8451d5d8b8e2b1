"""The commands of a grant, each with a form that runs it and the line for a terminal."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from sessions_app.connectors.registry import find
from sessions_app.models import Grant, GrantState, Target
from sessions_app.policy.commands.answers import CommandView, FreeParameter
from sessions_app.policy.commands.kinds import describe
from sessions_app.policy.commands.ssh.quoting import quote
from sessions_app.policy.durations import say_duration
from sessions_app.queries import commands

_SHELL_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=\- ]+")


@dataclass(frozen=True, slots=True)
class RunField:
    """One value that is free at each run, as a field of the form."""

    name: str
    free: FreeParameter
    value: str

    @property
    def is_number(self) -> bool:
        """Whether it is typed as a number."""
        return self.free.kind == "int"


@dataclass(frozen=True, slots=True)
class Runnable:
    """One allowed command, its fields, and the line that runs it from a terminal. ``copy`` is empty while values are open."""

    view: CommandView
    fields: Sequence[RunField]
    line: str
    copy: str

    @property
    def destructive(self) -> bool:
        """Whether it destroys something."""
        return self.view.effect == "destructive"

    @property
    def says(self) -> str:
        """Its effect, and what else holds for a run."""
        held = ", needs the approval of a second person" if self.view.hold else ""
        longest = self.view.finish_seconds
        finish = f", may finish up to {say_duration(longest)} after the end" if longest else ""
        return f"{self.view.effect}{held}{finish}"

    @property
    def limits(self) -> str:
        """Its effect, and what may be given for its free values."""
        effect = "always refused" if self.view.denies else self.view.effect
        return ", ".join([effect, *(f"{free.name}: {free.limits}" for free in self.view.free)])

    @property
    def copied(self) -> str:
        """What a button that copies its line copies; empty while values are open."""
        return self.view.text if self.copy else ""

    @property
    def names(self) -> str:
        """Its fields, as what is wrong with them is said of: `v.2.lines:lines`."""
        return " ".join(f"{field.name}:{field.free.name}" for field in self.fields)


def field_name(index: int, name: str) -> str:
    """Return the name under which the form of all commands sends one value of one of them."""
    return f"v.{index}.{name}"


def runnable_of(
    grant: Grant, target: Target | None, now: dt.datetime, typed: Mapping[str, str]
) -> list[Runnable]:
    """Return the commands of a grant for one of its targets. ``typed`` is what a form sent."""
    views = describe(commands.compiled(grant.command_set_version, grant.parameters, grant.commands))
    if not runs_by_gateway(grant):
        return [Runnable(view, [], "", "") for view in views]
    if target is None:
        return []
    account = _account(grant, target, now)
    found = []
    for view in views:
        command = view.text if view.free else _for_shell(view.text)
        line = f"ssh -p {settings.SSH_GATEWAY_PORT} {account}@{settings.SSH_PUBLIC_HOST} {command}"
        names = [(field_name(view.index, free.name), free) for free in view.free]
        fields = [RunField(name, free, typed.get(name, "")) for name, free in names]
        found.append(Runnable(view, fields, line, "" if view.free else line))
    return found


def runs_by_gateway(grant: Grant) -> bool:
    """Whether the commands of a grant run through the SSH gateway."""
    kind = find(grant.cluster.kind)
    return kind is not None and kind.runs


def _account(grant: Grant, target: Target, now: dt.datetime) -> str:
    """Return the user name that the gateway takes; with the grant's own name where another grant fits as well."""
    others = Grant.objects.filter(
        holder=grant.holder_id, state=GrantState.ACTIVE, expires_at__gt=now, targets__name=target.name
    ).exclude(pk=grant.pk)
    return f"{grant.ref}.{target.name}" if others.exists() else target.name


def _for_shell(command: str) -> str:
    """Return a command as one typed into a local shell, which would otherwise undo its quotes."""
    return command if _SHELL_PLAIN.fullmatch(command) else quote(command)
