"""The commands of a grant, each with a form that runs the command and the equivalent terminal line."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.conf import settings

from broker.kernel.postgresql.rows import Rows
from sessions_app.connectors.registry import find
from sessions_app.models import Grant, GrantState, Target
from sessions_app.policy.commands.answers import CommandView, FreeParameter
from sessions_app.policy.commands.argv.quoting import quote
from sessions_app.policy.commands.kinds import describe, forms_of
from sessions_app.policy.durations import say_duration
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.queries.gateways.ordered_files import most_on_page
from sessions_app.web.grants.read_form import ReadForm
from sessions_app.web.layout.uploads import FIELD

# Begins the names of fields with secret values. No page shows them again (`web/layout/errors.py`).
_NOT_SHOWN = "secret."
_SHELL_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,=\- ]+")


@dataclass(frozen=True, slots=True)
class RunField:
    """A parameter that is chosen for each run, as a form field."""

    name: str
    free: FreeParameter
    value: str

    @property
    def is_number(self) -> bool:
        """Whether the field takes a number."""
        return self.free.kind == "int"


@dataclass(frozen=True, slots=True)
class Runnable:
    """One allowed command, its fields, and the terminal line that runs it. ``copy`` is empty if the command
    has free parameters. ``form``: the command can be run on the page, with ``reading`` in place of fields if
    its holder chooses what it reads.
    """

    view: CommandView
    fields: Sequence[RunField]
    line: str
    copy: str
    form: bool = False
    reading: ReadForm | None = None

    @property
    def transfer(self) -> str:
        """The direction of a transfer: `get`, `put` or `list`; empty for a command."""
        return self.view.text.partition(" ")[0] if self.view.file else ""

    @property
    def button(self) -> str:
        """The text of the button that runs the command."""
        return {"get": "Download", "put": "Upload", "list": "List"}.get(self.transfer, "Run")

    @property
    def file_field(self) -> str:
        """The name of the field with the file to upload."""
        return f"{FIELD}{self.view.index}"

    @property
    def most(self) -> int:
        """The maximum size of a file on the page, in bytes."""
        return settings.PAGE_FILE_BYTES

    @property
    def most_text(self) -> str:
        """The maximum size of a file on the page, for display."""
        return most_on_page()

    @property
    def destructive(self) -> bool:
        """Whether the command is destructive."""
        return self.view.effect == "destructive"

    @property
    def says(self) -> str:
        """The command's effect, and the conditions for running it."""
        root = " as root" if self.view.as_root else ""
        held = ", needs a second person's approval" if self.view.hold else ""
        longest = self.view.finish_seconds
        finish = f", may finish up to {say_duration(longest)} after the end" if longest else ""
        return f"{self.view.effect}{root}{held}{finish}"

    @property
    def limits(self) -> str:
        """The command's effect, whether each run is held, and the limits of free parameters."""
        effect = "always refused" if self.view.denies else self.view.effect
        held = ["needs a second person's approval"] if self.view.hold else []
        root = ["as root"] if self.view.as_root else []
        return ", ".join([effect, *root, *held, *(f"{free.name}: {free.limits}" for free in self.view.free)])

    @property
    def copied(self) -> str:
        """The text that the copy button copies; empty if the command has free parameters."""
        return self.view.text if self.copy else ""

    @property
    def names(self) -> str:
        """The command's form fields, each with the name that errors use: `v.2.lines:lines`."""
        if self.reading is not None:
            return self.reading.names
        of_file = [f"{self.file_field}:{self.file_field}"] if self.transfer == "put" else []
        return " ".join([*(f"{field.name}:{field.free.name}" for field in self.fields), *of_file])


def values_in(form: Mapping[str, str], index: int) -> dict[str, str]:
    """Return the values of a submitted form for the parameters of one command."""
    prefix = _prefix(index)
    return {
        name.removeprefix(prefix).removeprefix(_NOT_SHOWN): value
        for name, value in form.items()
        if name.startswith(prefix)
    }


def _prefix(index: int) -> str:
    return f"v.{index}."


def runnable_of(
    grant: Grant, target: Target | None, now: dt.datetime, typed: Mapping[str, str]
) -> list[Runnable]:
    """Return a grant's commands for one of its targets. ``typed`` contains the values of a submitted form."""
    compiled = commands.compiled(grant.command_set_version, grant.parameters, grant.commands)
    views, forms = describe(compiled), forms_of(compiled)
    if forms is None or not _has_orders(grant):
        return [Runnable(view, [], "", "") for view in views]
    if target is None:
        return []
    account = _account(grant, target, now) if runs_by_gateway(grant) else ""
    fillable = forms.fillable(compiled)
    return [_runnable(view, account, typed, form=bool(view.file) or view.index in fillable) for view in views]


def _runnable(view: CommandView, account: str, typed: Mapping[str, str], *, form: bool) -> Runnable:
    line = _line(view, f"{account}@{settings.SSH_PUBLIC_HOST}") if account else ""
    fields = [_field(view.index, free, typed) for free in view.free] if form else []
    reading = _reading(view, typed) if form else None
    return Runnable(view, fields, line, "" if view.free else line, form, reading)


def _field(index: int, free: FreeParameter, typed: Mapping[str, str]) -> RunField:
    name = f"{_prefix(index)}{_NOT_SHOWN if free.secret else ''}{free.name}"
    return RunField(name, free, "" if free.secret else typed.get(name, ""))


def _reading(view: CommandView, typed: Mapping[str, str]) -> ReadForm | None:
    if view.readable is None:
        return None
    submitted = typed if typed.get("index") == str(view.index) else None
    return ReadForm(view.readable, _prefix(view.index), submitted)


def _line(view: CommandView, place: str) -> str:
    """Return the line for a terminal. ``place`` is the account at the gateway."""
    port = settings.SSH_GATEWAY_PORT
    if not view.file:
        return f"ssh -p {port} {place} {view.text if view.free else _for_shell(view.text)}"
    if view.text.startswith("list "):
        return f"sftp -P {port} {place}"
    there = f"{place}:{view.file}"
    return f"scp -P {port} {there} ." if view.text.startswith("get ") else f"scp -P {port} FILE {there}"


def takes_orders(grant: Grant) -> bool:
    """Whether a gateway runs commands that are started on the grant's page. Access to a `direct` cluster
    bypasses the gateway. Raises DocumentError.
    """
    compiled = commands.compiled(grant.command_set_version, grant.parameters, grant.commands)
    return _has_orders(grant) and forms_of(compiled) is not None


def _has_orders(grant: Grant) -> bool:
    kind = find(grant.cluster.kind)
    return kind is not None and kind.orders and not grant.cluster.connection.get("direct")


def runs_by_gateway(grant: Grant) -> bool:
    """Whether the commands of a grant run through the SSH gateway."""
    kind = find(grant.cluster.kind)
    return kind is not None and kind.runs


def _account(grant: Grant, target: Target, now: dt.datetime) -> str:
    """Return the user name for the gateway. It includes the grant's reference if another grant of the holder
    would also match.
    """
    others = _SAME_NAME(grant.holder_id, now, target.name, grant.pk)
    shared = any(one.state == GrantState.ACTIVE for one in others)
    return f"{grant.ref}.{target.name}" if shared else target.name


# The state of a grant whose end waits for a lock is converted in the rows only.
_SAME_NAME = Rows(
    Grant,
    only=("state",),
    tail=f"""
  JOIN sessions_app_grant_targets reached ON reached.grant_id = sessions_app_grant.id
  JOIN sessions_app_target target ON target.id = reached.target_id
 WHERE holder_id = %s AND state = '{GrantState.ACTIVE.value}' AND expires_at > %s AND target.name = %s
   AND sessions_app_grant.id <> %s
""",
)


def _for_shell(command: str) -> str:
    """Return a command quoted for the local shell, which would otherwise remove the command's own quotes."""
    return command if _SHELL_PLAIN.fullmatch(command) else quote(command)
