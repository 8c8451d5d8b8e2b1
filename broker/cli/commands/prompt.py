"""`stint prompt`: the time left, in the prompt of bash, zsh or fish."""

from __future__ import annotations

import shlex

import click

from .. import remaining, screen
from ..options import CLICommand
from ..shell import Shell, pass_shell

# bash and zsh. The file is sorted by the grants' ends.
_FUNCTION = r"""__stint_prompt() {
  local code=$? now until ref host text= first=0 more=0 left
  STINT_PROMPT=
  if [ -r FILE ]; then
    now=${EPOCHSECONDS:-$(date +%s)}
    while read -r until ref host; do
      [ "$until" -gt "$now" ] || continue
      if [ -n "$text" ]; then more=$((more + 1)); continue; fi
      first=$until text=$ref
    done < FILE
    if [ -n "$text" ]; then
      left=$(((first - now + 59) / 60))
      if [ "$left" -ge 60 ]; then text="$text $((left / 60)) h"; left=$((left % 60)); fi
      if [ "$left" -gt 0 ]; then text="$text $left min"; fi
      if [ "$more" -gt 0 ]; then text="$text +$more"; fi
      if [ $((first - now)) -le 300 ] && [ -z "$NO_COLOR" ]; then text=YELLOW$text""PLAIN; fi
      STINT_PROMPT="$text "
    fi
  fi
  return $code
}
"""
_BASH = r"""case "$PROMPT_COMMAND" in
  *__stint_prompt*) ;;
  *) PROMPT_COMMAND="__stint_prompt${PROMPT_COMMAND:+;$PROMPT_COMMAND}"; PS1='${STINT_PROMPT}'"$PS1" ;;
esac
"""
_ZSH = r"""zmodload zsh/datetime
setopt prompt_subst
autoload -Uz add-zsh-hook
add-zsh-hook precmd __stint_prompt
case "$PROMPT" in
  *STINT_PROMPT*) ;;
  *) PROMPT='${STINT_PROMPT}'"$PROMPT" ;;
esac
"""
_FISH = r"""function __stint_prompt
  test -r FILE; or return
  set -l now (date +%s)
  set -l text
  set -l first 0
  set -l more 0
  while read -l until ref host
    test "$until" -gt "$now"; or continue
    if test -n "$text"
      set more (math $more + 1)
      continue
    end
    set first $until
    set text $ref
  end < FILE
  test -n "$text"; or return
  set -l left (math --scale=0 "($first - $now + 59) / 60")
  if test $left -ge 60
    set text "$text "(math --scale=0 "$left / 60")" h"
    set left (math "$left % 60")
  end
  test $left -gt 0; and set text "$text $left min"
  test $more -gt 0; and set text "$text +$more"
  if test (math "$first - $now") -le 300; and test -z "$NO_COLOR"
    set text (set_color yellow)$text(set_color normal)
  end
  printf '%s ' $text
end
if not functions -q __stint_fish_prompt
  functions -c fish_prompt __stint_fish_prompt
  function fish_prompt
    set -l code $status
    __stint_prompt
    __stint_status $code
    __stint_fish_prompt
  end
  function __stint_status
    return $argv[1]
  end
end
"""
# Characters of no width: bash marks them with these control characters, zsh with %F and %f.
_BASH_COLORS = r"$'\001\e[33m\002'", r"$'\001\e[0m\002'"
_ZSH_COLORS = "'%F{yellow}'", "'%f'"


@click.command(cls=CLICommand)
@click.argument("shell_name", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@pass_shell
def prompt(shell: Shell, shell_name: str) -> None:
    """Print the code that shows the time left of your grant in the prompt, such as `GR-7F3K 42 min`.

    Shows the grant that ends first, and the number of others. It is yellow for the last five minutes. The
    prompt reads a small file, and never the network: `stint status`, and every command that requests, uses
    or ends a grant, updates the file. bash and zsh set STINT_PROMPT, for prompts of your own.

    \b
      eval "$(stint prompt bash)"    in ~/.bashrc
      eval "$(stint prompt zsh)"     in ~/.zshrc
      stint prompt fish | source     in ~/.config/fish/config.fish
    """
    screen.say(script(shell_name, str(remaining.path(shell.env))).rstrip("\n"))


def script(shell_name: str, file: str) -> str:
    """Return the code for a shell. ``file``: the path of the file with the grants' ends."""
    if shell_name == "fish":
        quoted = "'" + file.replace("\\", "\\\\").replace("'", "\\'") + "'"
        return _FISH.replace("FILE", quoted)
    yellow, plain = _BASH_COLORS if shell_name == "bash" else _ZSH_COLORS
    function = _FUNCTION.replace('YELLOW$text""PLAIN', f"{yellow}$text{plain}")
    return function.replace("FILE", shlex.quote(file)) + (_BASH if shell_name == "bash" else _ZSH)


COMMANDS = (prompt,)
