"""Shell completion."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from .. import screen
from ..errors import Usage
from ..options import CLICommand

_WHERE = {
    "bash": 'eval "$(stint completion bash)"    in ~/.bashrc',
    "zsh": 'eval "$(stint completion zsh)"    in ~/.zshrc, after compinit',
    "fish": "stint completion fish > ~/.config/fish/completions/stint.fish",
}


@click.command(cls=CLICommand)
@click.argument("shell", type=click.Choice(list(_WHERE)))
def completion(shell: str) -> None:
    """Print the completion script for a shell.

    \b
      eval "$(stint completion bash)"    in ~/.bashrc
      eval "$(stint completion zsh)"     in ~/.zshrc, after compinit
      stint completion fish > ~/.config/fish/completions/stint.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise Usage(f"No completion for {shell}.")
    root = click.get_current_context().find_root().command
    screen.say(made(root, {}, "stint", "_STINT_COMPLETE").source())


COMMANDS = (completion,)
