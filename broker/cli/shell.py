"""The context of every command: the server, the output and prompts."""

from __future__ import annotations

import functools
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

from . import profiles, screen
from .errors import CliError, Usage
from .wire import Wire


class Shell:
    """One invocation of the command. ``json`` means that the output is JSON."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.json = False
        self.profile = ""
        self.insecure = False
        self._wire: Wire | None = None

    @classmethod
    def of(cls, ctx: click.Context) -> Shell:
        """Return the shell of this invocation, created if missing, as during completion."""
        root = ctx.find_root()
        if not isinstance(root.obj, cls):
            root.obj = cls(os.environ)
        return root.obj

    @property
    def wire(self) -> Wire:
        """The client for requests to Stint, with the caller's token. Raises Usage or NotSignedIn."""
        if self._wire is None:
            found = profiles.signed_in(self.env, self.profile, insecure=self.insecure)
            self._wire = Wire(
                found.url, found.token, ca_file=self.ca_file, fresh=lambda: self._token_for(found.url)
            )
        return self._wire

    def _token_for(self, url: str) -> str:
        """Return the current token for this URL. Pipelines write renewed tokens to STINT_TOKEN_FILE."""
        try:
            found = profiles.signed_in(self.env, self.profile, insecure=self.insecure)
        except CliError:
            return ""
        return found.token if found.url == url else ""

    @property
    def ca_file(self) -> str:
        """The file with the CA of Stint's certificate; empty for the system's CAs."""
        return self.env.get("STINT_CA_FILE", "")

    @property
    def asks(self) -> bool:
        """Whether the command can prompt, because it runs on a terminal."""
        return not self.json and sys.stdin.isatty() and sys.stderr.isatty()

    # Output

    def show(self, document: Any, people: Callable[[], None]) -> None:
        """Write a JSON document for programs, or text for people."""
        if self.json:
            screen.say_json(document)
        else:
            people()

    def rows(
        self,
        found: Sequence[Mapping[str, Any]],
        columns: Mapping[str, Callable[[Any], str]],
        *,
        empty: str,
    ) -> None:
        """Write a list, as JSON or as a table."""
        self.show({"results": list(found)}, lambda: screen.table(found, columns, empty=empty))

    def note(self, text: str) -> None:
        """Write a note on standard error."""
        if not self.json:
            screen.say(text, err=True)

    # Prompts

    def ask(self, question: str, *, needs: str, give: str) -> str:
        """Prompt for text. Without a terminal, raises Usage: ``needs`` is required, with the option
        ``give``.
        """
        if not self.asks:
            raise Usage(f"{needs} is required ({give}).")
        return str(click.prompt(question, err=True)).strip()

    def choose(self, question: str, choices: Sequence[str], *, give: str) -> int:
        """Prompt for one of several choices, and return its index. Raises Usage without a terminal."""
        if len(choices) == 1:
            return 0
        if not self.asks:
            listed = "\n".join(f"  {choice}" for choice in choices)
            raise Usage(f"{question} Choose one of:\n{listed}", f"Use {give}.")
        for number, choice in enumerate(choices, 1):
            screen.say(f"  {number}  {choice}", err=True)
        return int(click.prompt(question, type=click.IntRange(1, len(choices)), err=True)) - 1

    def sure(self, question: str, *, default: bool = True) -> bool:
        """Prompt for confirmation, and return the answer; without a terminal, the default."""
        return click.confirm(question, default=default, err=True) if self.asks else default


def own_words() -> list[str]:
    """Return the command that starts this program, as installed or from the repository."""
    package = __package__ or "stint_cli"
    return [sys.executable, "-m", package]


def own_command(shell: Shell) -> tuple[list[str], dict[str, str]]:
    """Return the command that other programs use to run this program, and the environment variable with
    which it uses the same server.
    """
    here = shutil.which("stint", path=shell.env.get("PATH"))
    profile = shell.profile or shell.env.get("STINT_PROFILE", "")
    env = {"STINT_PROFILE": profile} if profile else {"STINT_URL": shell.wire.url}
    return [here] if here else own_words(), env


def cache_folder(env: Mapping[str, str]) -> str:
    """Return the user's cache folder, for known hosts and CA certificates, and create it if it is missing."""
    base = env.get("XDG_CACHE_HOME") or os.path.join(env.get("HOME") or os.path.expanduser("~"), ".cache")  # noqa: PTH111, PTH118  # a missing home is not an error
    place = os.path.join(base, "stint")  # noqa: PTH118
    os.makedirs(place, mode=0o700, exist_ok=True)  # noqa: PTH103
    return place


def pass_shell(function: Callable[..., Any]) -> Callable[..., Any]:
    """Pass the shell to a command as its first argument."""

    @functools.wraps(function)
    def inner(*args: Any, **options: Any) -> Any:
        return function(Shell.of(click.get_current_context()), *args, **options)

    return inner
