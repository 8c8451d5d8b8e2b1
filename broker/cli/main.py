"""`stint`: the command, its help, and its exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from . import __version__, screen
from .commands import (
    databases,
    deciding,
    files,
    gateway,
    grants,
    kubernetes,
    machine,
    prompt,
    requests,
    run,
    servers,
    ssh,
    ssh_config,
    tunnel,
)
from .errors import CliError, Exit, Usage
from .options import Group
from .shell import Shell

_PARTS = {
    "Sign-in": servers.COMMANDS,
    "Requests": requests.COMMANDS,
    "Access": (
        *ssh.COMMANDS,
        *ssh_config.COMMANDS,
        *files.COMMANDS,
        *databases.COMMANDS,
        *tunnel.COMMANDS,
        *kubernetes.COMMANDS,
        *run.COMMANDS,
        *gateway.COMMANDS,
    ),
    "Grants": grants.COMMANDS,
    "Approvals": deciding.COMMANDS,
    "Shell": (*machine.COMMANDS, *prompt.COMMANDS),
}


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, "-V", "--version", prog_name="stint", message="%(prog)s %(version)s")
def cli() -> None:
    """Just-in-time privileged access, from the terminal.

    \b
      stint login https://stint.example.com
      stint ssh web-1 -- systemctl restart nginx     request access if needed, then run
      stint request web restart-web --for 1h -m "Nightly restart" -p unit=nginx --wait
      stint run --cluster tickets --set close-ticket -- ./agent
      stint end GR-7F3K

    \b
    Exit status:
      0    done
      1    denied by a policy or a person
      2    invalid usage
      3    not signed in, or the session has expired
      4    not found, or not visible to you
      5    timed out or not approved
      6    Stint is unavailable
      130  interrupted
    ssh, cp, psql, mariadb and run exit with the status of the command they ran.

    \b
    Environment: STINT_URL, STINT_TOKEN or STINT_TOKEN_FILE (override `stint login`), STINT_PROFILE,
    STINT_CA_FILE (CA certificate of Stint), NO_COLOR.
    """


for title, commands in _PARTS.items():
    cli.add_part(title, commands)


def main() -> None:
    """Run the command, and exit with its status."""
    sys.exit(run_command(sys.argv[1:]))


def run_command(words: Sequence[str]) -> int:
    """Run one command and return its exit status. Errors are written to standard error."""
    shell = Shell(os.environ)
    try:
        status = cli.main(args=list(words), prog_name="stint", standalone_mode=False, obj=shell)
    except CliError as error:
        return _said(shell, error)
    except click.exceptions.NoArgsIsHelpError as error:
        screen.say(error.format_message(), err=True)
        return Exit.USAGE
    except click.UsageError as error:
        return _said(shell, _usage(error))
    except click.ClickException as error:
        return _said(shell, Usage(error.format_message()))
    except (click.Abort, KeyboardInterrupt):
        screen.say("", err=True)
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # The reader has closed the pipe. Otherwise, Python would report that again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    return status if isinstance(status, int) else Exit.DONE


def _usage(error: click.UsageError) -> Usage:
    help_of = error.ctx.command_path if error.ctx is not None else "stint"
    more = (
        " Put -- before a command that has options of its own."
        if isinstance(error, click.NoSuchOption)
        else ""
    )
    return Usage(error.format_message(), f"See `{help_of} --help`.{more}")


def _said(shell: Shell, error: CliError) -> int:
    if shell.json:
        screen.say_json(error.as_json(), err=True)
        return error.status
    screen.say(f"{click.style('stint:', fg='red')} {_lines(error.message)}", err=True)
    for name, complaints in error.fields.items():
        # Don't repeat the message.
        if all(text in f"{error.message} {error.hint}" for text in complaints):
            continue
        screen.say(
            f"  {screen.plain(name.removeprefix('parameters.'))}: {_lines(' '.join(complaints))}", err=True
        )
    if error.rules and not error.hint:
        error.hint = _refusals(error.rules)
    if error.hint:
        screen.say(_lines(error.hint), err=True)
    return error.status


def _refusals(rules: Sequence[Any]) -> str:
    said = [rule for rule in rules if not rule.get("permitted")]
    return "\n".join(f"{rule.get('message', '')} {rule.get('fix', '')}".strip() for rule in said)


def _lines(text: str) -> str:
    return "\n".join(screen.plain(line) for line in text.splitlines())
