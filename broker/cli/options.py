"""Options and parameter types that many commands share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click

from .durations import parse_duration
from .errors import CliError
from .granting import ref_of
from .shell import Shell

Function = TypeVar("Function", bound=Callable[..., Any])
_LONG = {"max_content_width": 100}


class Reference(click.ParamType[str]):
    """A reference in upper or lower case. Completion lists references from the API."""

    name = "REF"

    def __init__(self, *lists: str) -> None:
        self._lists = lists

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return ref_of(str(value))

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete references from the API; nothing if the API doesn't respond."""
        found = (row["ref"] for path in self._lists for row in _known(ctx, path))
        return _starting(found, incomplete.upper())


class Known(click.ParamType[str]):
    """A name that the API lists, such as that of a cluster."""

    def __init__(self, name: str, path: str, inner: str = "") -> None:
        self.name, self._path, self._inner = name, path, inner

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        """Complete names of the listed objects, or of the objects inside them."""
        rows = _known(ctx, self._path)
        inner = (part["name"] for row in rows for part in row[self._inner]) if self._inner else ()
        return _starting(inner if self._inner else (row["name"] for row in rows), incomplete)


def _known(ctx: click.Context, path: str) -> list[dict[str, Any]]:
    try:
        return Shell.of(ctx).wire.pages(path, most=100)
    except CliError:
        return []


def _starting(names: Iterable[str], begin: str) -> list[Any]:
    return [
        click.shell_completion.CompletionItem(name) for name in sorted(set(names)) if name.startswith(begin)
    ]


class Span(click.ParamType[int]):
    """A duration, in seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            return value if isinstance(value, int) else parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}.", param, ctx)


class Moment(click.ParamType[str]):
    """A point in time, as RFC 3339 text. Without an offset, it is in the machine's time zone."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        now = dt.datetime.now(dt.UTC).astimezone()
        text = str(value)
        try:
            when = dt.datetime.fromisoformat(
                f"{now.date()}T{text}" if len(text) == 5 else text
            )  # a zone is added below
        except ValueError:
            self.fail(f"{value!r} is not a time. Use one like 22:00 or 2026-11-28T22:00.", param, ctx)
        return when.astimezone().isoformat()


class Pair(click.ParamType[tuple[str, str]]):
    """``name=value``."""

    name = "NAME=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value[0], value[1]
        name, equals, text = str(value).partition("=")
        if not name or not equals:
            self.fail(f"{value!r} is not in the form NAME=VALUE.", param, ctx)
        return name, text


class Deniable(Reference):
    """A request, or the number of a held command."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value) if str(value).isdecimal() else super().convert(value, param, ctx)


GRANT = Reference("/grants")
ANY = Reference("/grants", "/requests")
REQUEST = Reference("/requests")
DENIABLE = Deniable("/requests")
CLUSTER = Known("CLUSTER", "/clusters")
TARGET = Known("TARGET", "/clusters", "targets")
SET = Known("SET", "/command-sets")
KINDS = click.Choice(["planned", "quick", "incident", "break_glass"])


def about_asking(function: Function) -> Function:
    """Add the options that describe a request: duration, reason, workflow and parameters."""
    added = [
        click.option(
            "--for",
            "seconds",
            type=Span(),
            help="Duration, such as 30m or 4h. Default: 1h, or the policy's maximum if lower.",
        ),
        click.option("--reason", "-m", default="", help="Reason, for approvers and the record."),
        click.option("--ticket", default="", help="Ticket number or URL, for approvers and the record."),
        click.option(
            "--workflow",
            "-w",
            metavar="REF",
            help="Workflow, such as INC-12 or CHG-3. The grant ends when it closes.",
        ),
        click.option(
            "--param",
            "-p",
            "parameters",
            type=Pair(),
            multiple=True,
            help="Parameter of the command set; can be repeated.",
        ),
        click.option(
            "--kind",
            type=KINDS,
            help="Kind of request. Default: planned, or incident if the workflow is an incident.",
        ),
    ]
    for add in reversed(added):
        function = add(function)
    return function


def waits(function: Function) -> Function:
    """Add the option that limits the wait for a decision."""
    option = click.option(
        "--wait-for", "wait", type=Span(), help="Stop waiting after this time; the request stays pending."
    )
    return option(function)


class CLICommand(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += common()
        self.context_settings = {**_LONG, **self.context_settings}


class Group(click.Group):
    """The group of all commands, in sections."""

    command_class = CLICommand

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.params += common()
        self.parts: dict[str, tuple[click.Command, ...]] = {}

    def add_part(self, title: str, commands: tuple[click.Command, ...]) -> None:
        """Add commands under a heading of the help."""
        self.parts[title] = commands
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in self.parts.items():
            with formatter.section(title):
                formatter.write_dl([(str(one.name), one.get_short_help_str(120)) for one in commands])


def common() -> list[click.Parameter]:
    """Return the options of every command."""

    def keep(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(ctx: click.Context, _param: click.Parameter, value: Any) -> None:
            if value:
                setattr(Shell.of(ctx), name, value)

        return callback

    return [
        click.Option(
            ["--json"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=keep("json"),
            help="Print JSON, or JSON lines with --watch or --follow.",
        ),
        click.Option(
            ["--profile"],
            metavar="NAME",
            expose_value=False,
            is_eager=True,
            callback=keep("profile"),
            help="Profile to use.",
        ),
        click.Option(
            ["--insecure-http"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=keep("insecure"),
            help="Allow http:// to other machines. Use only on a trusted network.",
        ),
    ]
