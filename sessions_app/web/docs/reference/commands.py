"""The commands: `stint` for people, and `manage.py` for administrators of the server."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Sequence

import click
from django.core.management import get_commands, load_command_class

from broker.cli.main import cli
from broker.cli.options import common
from sessions_app.web.docs.reference.entries import Entry, Page, Part

_HIDDEN = (
    "help",
    "version",
    "verbosity",
    "settings",
    "pythonpath",
    "traceback",
    "no_color",
    "force_color",
    "skip_checks",
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
        "Every command of the server, with its options. Run them as the account of Stint, with its environment.",
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
    records = (param.get_help_record(context) for param in params if param.name not in _HIDDEN)
    return [(record[0], record[1]) for record in records if record]


def _text(help_: str | None) -> str:
    """Return a help text as Markdown: paragraphs that click leaves as they are written become blocks of text."""
    blocks = textwrap.dedent(help_ or "").strip().split("\n\n")
    return "\n\n".join(
        f"```text\n{block.removeprefix(chr(8)).strip(chr(10))}\n```" if block.startswith("\b") else block
        for block in blocks
    )


def _of_django(app: str, name: str) -> Entry:
    command = load_command_class(app, name)
    parser = command.create_parser("manage.py", name)
    usage = " ".join(parser.format_usage().split()).removeprefix("usage: ")
    return Entry(f"manage.py {name}", _sentence(command.help), [("Usage", f"`{usage}`"), *_arguments(parser)])


def _arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in parser._actions:  # noqa: SLF001  # argparse has no public list of them
        if action.help in (None, argparse.SUPPRESS) or action.dest in _HIDDEN:
            continue
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
        yield names, _sentence(str(action.help))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""
