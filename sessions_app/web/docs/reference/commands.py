"""The reference of commands: `stint` for people, and `manage.py` for server administrators."""

from __future__ import annotations

import argparse
import inspect
import re
import textwrap
from collections.abc import Iterator, Sequence

import click
from django.core.management import get_commands, load_command_class

from broker.cli.main import cli
from broker.cli.options import common
from sessions_app.web.docs.reference.entries import Entry, Page, Part

# The options that Django adds to every command.
_OF_DJANGO = re.compile(
    r" \[(-h|--help|--version|-v \{0,1,2,3\}|--verbosity|--settings( SETTINGS)?|--pythonpath("
    r" PYTHONPATH)?|--traceback|"
    r"--no-color|--force-color|--skip-checks)\]"
)
_OWN = ("accounts", "broker", "sessions_app")


def stint_page() -> Page:
    """Return the page with every command of `stint`."""
    context = click.Context(cli, info_name="stint")
    everywhere = Entry("stint", _text(cli.help), _options(context, cli.params))
    parts = [
        Part(title, [_of_click(context, one) for one in commands]) for title, commands in cli.parts.items()
    ]
    return Page(
        "stint",
        "The stint command",
        "Every command and option of `stint`, with its exit status.",
        [Part("All commands", [everywhere]), *parts],
    )


def manage_page() -> Page:
    """Return the page with every command of `manage.py` that Stint adds."""
    own = {name: app for name, app in get_commands().items() if app.partition(".")[0] in _OWN}
    return Page(
        "manage",
        "The manage.py commands",
        "Every command of the server, with its options. Run them as the account that runs Stint, with "
        "the same environment.",
        [Part("Commands", [_of_django(app, name) for name, app in sorted(own.items())])],
    )


def _of_click(parent: click.Context, command: click.Command) -> Entry:
    context = click.Context(command, info_name=command.name, parent=parent)
    shared = {param.name for param in common()}
    own = [param for param in command.get_params(context) if param.name not in shared]
    usage = " ".join(command.collect_usage_pieces(context))
    facts = [("Usage", f"`{context.command_path} {usage}`"), *_options(context, own)]
    return Entry(f"stint {command.name}", _text(command.help), facts)


def _options(context: click.Context, params: Sequence[click.Parameter]) -> list[tuple[str, str]]:
    records = (param.get_help_record(context) for param in params if "--help" not in param.opts)
    return [(record[0], record[1]) for record in records if record and record[1]]


def _text(help_: str | None) -> str:
    """Return a help text as Markdown. Paragraphs that click doesn't rewrap become preformatted blocks."""
    return "\n\n".join(
        (
            f"```text\n{textwrap.dedent(block.removeprefix(chr(8)).strip(chr(10)))}\n```"
            if block.startswith("\b")
            else block
        )
        for block in inspect.cleandoc(help_ or "").split("\n\n")
    )


def _of_django(app: str, name: str) -> Entry:
    command = load_command_class(app, name)
    parser = command.create_parser("manage.py", name)
    usage = _OF_DJANGO.sub("", " ".join(parser.format_usage().split())).removeprefix("usage: ")
    return Entry(f"manage.py {name}", command.help, [("Usage", f"`{usage}`"), *_arguments(parser)])


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:  # noqa: SLF001  # argparse has no public list of them
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        if action.help not in (None, argparse.SUPPRESS) and not _OF_DJANGO.fullmatch(
            f" [{names.split(', ')[-1]}]"
        ):
            yield names, str(action.help).replace("%(default)s", str(action.default))
