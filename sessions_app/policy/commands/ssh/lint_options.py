"""Options and settings in a command that execute, redirect or load something else."""

import re
from collections.abc import Iterator

from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.ssh.command import Command

# Long options that run a program. GNU programs take any unambiguous beginning for the whole.
_EXECUTING = (
    "--checkpoint-action", "--to-command", "--use-compress-program", "--info-script", "--new-volume-script",
    "--rsh-command", "--rmt-command", "--rsh", "--rsync-path", "--exec", "--execute", "--eval", "--pager",
    "--editor", "--compress-program", "--upload-pack", "--receive-pack", "--exec-path", "--ext-diff",
    "--unzip-command", "--open-files-in-pager", "--init-command", "--init-file", "--rcfile", "--preload",
    "--post-command", "--pre-command", "--post-rotate", "--shell-escape", "--use-askpass",
)  # fmt: skip
_EXECUTING_IN = {"split": ("--filter",), "nmap": ("--script", "--interactive"), "rg": ("--pre",)}
_ABBREVIATING = frozenset({"tar", "rsync", "sort", "split", "zip", "gdb", "mysql", "psql", "wget", "nmap"})
_MIN_ABBREVIATION = 5
_WRITING = (
    "--output",
    "--output-file",
    "--output-document",
    "--log-file",
    "--outfile",
    "--logfile",
    "--dump-header",
)
_EXECUTING_WORDS = frozenset(
    {"-exec", "-execdir", "-ok", "-okdir", "-fprint", "-fprintf", "-fprint0", "-fls"}
)
_SSH_SETTING = re.compile(
    r"(?i)^(-o)?\s*(ProxyCommand|LocalCommand|PermitLocalCommand|KnownHostsCommand|ProxyUseFdpass|PKCS11Provider|"
    r"SecurityKeyProvider|XAuthLocation|Include|ProxyJump)\b"
)
_ENVIRONMENT = re.compile(
    r"^(LD_[A-Z_]+|DYLD_[A-Z_]+|GCONV_PATH|PATH|IFS|ENV|BASH_ENV|BASH_FUNC.*|SHELLOPTS|PS4|PROMPT_COMMAND|PYTHON[A-Z]+|PERL5?[A-Z]*|"
    r"RUBYOPT|RUBYLIB|NODE_OPTIONS|JAVA_TOOL_OPTIONS|GIT_[A-Z_]+|[A-Z]*PAGER|LESSOPEN|LESSCLOSE|EDITOR|VISUAL|BROWSER|SHELL)\+?="
)
# One-letter options: program → letters that run a program, letters that write or send a file.
_SHORT = {
    "rsync": ("e", ""), "tar": ("IF", ""), "tcpdump": ("z", "w"), "dumpcap": ("", "w"), "tshark": ("X", "w"),
    "curl": ("K", "oOTDc"), "wget": ("e", "Oaoi"), "sort": ("", "o"), "git": ("c", ""), "apt": ("oc", ""),
    "apt-get": ("oc", ""), "zip": ("T", ""), "xterm": ("e", ""), "nginx": ("cgp", ""), "mysql": ("", "T"),
    "psql": ("", "oL"), "ssh": ("oFJ", "E"), "man": ("PH", ""), "vim": ("cSu", ""),
    "systemctl": ("HM", ""), "logrotate": ("", "ls"), "aptitude": ("o", ""),
    "yum": ("c", ""), "dnf": ("c", ""),
}  # fmt: skip


def option_findings(command: Command) -> Iterator[Finding]:
    """What is to be said about the arguments of a command."""
    for text in command.texts[1:]:
        yield from _one(command, text)
    runs, writes = _SHORT.get(command.program, ("", ""))
    for letter in runs:
        if command.has_short(letter):
            yield _executes(command, f"-{letter}")
    for letter in writes:
        if command.has_short(letter):
            yield _writes(command, f"-{letter}")


def _one(command: Command, text: str) -> Iterator[Finding]:
    option = text.partition("=")[0]
    executing = (*_EXECUTING, *_EXECUTING_IN.get(command.program, ()))
    if text in _EXECUTING_WORDS or _SSH_SETTING.match(text) or _is_one_of(command, option, executing):
        yield _executes(command, option)
    elif _is_one_of(command, option, _WRITING):
        yield _writes(command, option)
    elif command.program == "dd" and option == "of":
        yield _writes(command, "of=")
    elif _ENVIRONMENT.match(text):
        yield command.found(
            "error",
            "environment",
            f"`{option}=` in the environment decides what a program loads or starts",
            "remove it, and set it on the target where it is needed",
        )


def _is_one_of(command: Command, option: str, known: tuple[str, ...]) -> bool:
    if option in known:
        return True
    may_be_short = command.program in _ABBREVIATING and len(option) >= _MIN_ABBREVIATION
    return may_be_short and any(name.startswith(option) for name in known)


def _executes(command: Command, option: str) -> Finding:
    return command.found(
        "error",
        "option_executes",
        f"`{option}` makes `{command.program}` run another program or load its settings from elsewhere",
        "remove the option, or write a script of your own for the one task, and name it by its full path",
    )


def _writes(command: Command, option: str) -> Finding:
    severity: Severity = "error" if _value_behind(command, option) else "warning"
    return command.found(
        severity,
        "option_writes",
        f"`{option}` makes `{command.program}` write to or send a file",
        "let it write to standard output, or write the file's path literally",
    )


def _value_behind(command: Command, option: str) -> bool:
    """Whether the file that is written is chosen by a value."""
    for text, after in zip(command.texts, (*command.texts[1:], ""), strict=True):
        if text.partition("=")[0] == option and "{" in (text if "=" in text else after):
            return True
    return False
