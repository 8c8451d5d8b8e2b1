"""The shell scripts that run on targets. They need POSIX sh, coreutils, util-linux and /proc."""

from pathlib import Path

from sessions_app.policy.commands.argv.quoting import quote_script


def read_script(name: str) -> str:
    """Return the text of a script in this folder."""
    return Path(__file__).with_name(name).read_text(encoding="ascii")


def command_of(script: str) -> str:
    """Return the beginning of a command line that runs this text, so that no file is needed on the target.

    The script's arguments follow, each quoted.
    """
    return f"sh -c {quote_script(script)} stint"
