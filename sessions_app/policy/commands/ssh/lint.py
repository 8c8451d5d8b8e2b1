"""The linter: what a command set allows beyond what it seems to. Its findings are shown before a version is
published.
"""

from collections.abc import Iterable, Iterator
from itertools import combinations

from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.parameters import ParameterType, ValueRefused
from sessions_app.policy.commands.ssh.command import Command
from sessions_app.policy.commands.ssh.document import SSHCommandSet
from sessions_app.policy.commands.ssh.lint_options import option_findings
from sessions_app.policy.commands.ssh.lint_programs import program_findings
from sessions_app.policy.commands.ssh.lint_values import type_findings, value_findings
from sessions_app.policy.commands.ssh.templates import Slot, Word

__all__ = ["Finding", "Severity", "lint"]

_DAEMON_OPTIONS = frozenset(
    ("--daemon", "--daemonize", "--daemonise", "--background", "--detach", "--fork", "--bg")
)
_DAEMONS = frozenset(
    ("nginx", "httpd", "apache2", "apachectl", "apache2ctl", "pg_ctl", "pg_ctlcluster", "gunicorn", "uwsgi",
     "celery", "redis-server", "valkey-server", "memcached", "mongod", "mysqld_safe", "haproxy", "named",
     "dnsmasq", "catalina.sh")
)  # fmt: skip
_NO_DAEMON = frozenset(("-s", "-t", "-T", "-v", "-V", "configtest", "status", "stop", "reload"))
_CHANGING = {
    "systemctl": frozenset(
        ("start", "stop", "restart", "reload", "kill", "enable", "disable", "mask", "unmask", "reboot",
         "poweroff", "isolate", "daemon-reload", "reset-failed", "try-restart", "reload-or-restart")
    ),
    "service": frozenset(("start", "stop", "restart", "reload")),
}  # fmt: skip
_ALWAYS_CHANGING = frozenset(
    ("rm", "mv", "cp", "ln", "dd", "tee", "kill", "pkill", "killall", "reboot", "shutdown", "poweroff",
     "halt", "chmod", "chown", "truncate", "shred", "mkfs", "mount", "umount", "useradd", "userdel",
     "usermod", "passwd", "install", "mkdir", "rmdir")
)  # fmt: skip
_SECRETS = (
    "/etc/shadow", "/etc/gshadow", "/.ssh/", "/id_rsa", "/id_ed25519", ".pem", ".key", "/environ",
    "/.my.cnf", "/.pgpass", "/.env",
)  # fmt: skip


def lint(document: SSHCommandSet) -> list[Finding]:
    """All findings, errors first, each in the order of the document."""
    found = [*document_findings(document), *_type_findings(document)]
    commands = [Command(document, index, rule) for index, rule in enumerate(document.commands)]
    for command in commands:
        found += program_findings(command)
        found += option_findings(command)
        found += value_findings(command)
        found += _command_findings(command)
    found += _overlaps(commands)
    return sorted(dict.fromkeys(found), key=lambda finding: finding.severity != "error")


def _type_findings(document: SSHCommandSet) -> Iterator[Finding]:
    for name, type_ in document.parameters.items():
        yield from type_findings(f"parameters.{name}", type_)
    for index, rule in enumerate(document.commands):
        for name, type_ in rule.where.items():
            yield from type_findings(f"commands[{index}].where.{name}", type_)


def _command_findings(command: Command) -> Iterator[Finding]:
    if not command.rule.run.isascii():
        yield command.found(
            "warning",
            "look_alike",
            "the command holds letters that can look like others",
            "check that each letter is the one it seems to be",
        )
    for text in command.texts[1:]:
        if any(secret in text for secret in _SECRETS):
            yield command.found(
                "warning",
                "secret",
                f"`{text}` looks like a place for passwords or keys, and the output is recorded",
                "leave it out, or accept that holder and reviewers of recordings may read it",
            )
    yield from _containment(command)
    if command.rule.effect == "read" and (change := _change(command)):
        yield Finding(
            "error",
            "effect",
            f"commands[{command.index}].effect",
            f"`{change}` changes the target, and approvers would be told that it only reads",
            "write effect: change or effect: destructive",
        )


def _change(command: Command) -> str | None:
    """The part of a command that is known to change the target."""
    if command.program in _ALWAYS_CHANGING:
        return command.program
    known = _CHANGING.get(command.program, frozenset())
    return next((f"{command.program} {verb}" for verb in sorted(known & command.said)), None)


def _containment(command: Command) -> Iterator[Finding]:
    program = command.program
    where = f"commands[{command.index}].contain"
    if command.document.contain_of(command.rule) == "pidns":
        return
    if program == "service" or command.texts[0].startswith(("/etc/init.d/", "/etc/rc.d/")):
        yield Finding(
            "warning",
            "daemonises",
            where,
            f"`{program}` may start a service that outlives the grant, and signals processes by their number",
            "use systemctl, which hands the work to the machine's own manager",
        )
    elif _daemonises(command):
        yield Finding(
            "warning",
            "daemonises",
            where,
            f"`{program}` puts itself in the background and may escape the sweep at the end of contain: group",
            "write contain: pidns, or start it as a service with systemctl",
        )


def _daemonises(command: Command) -> bool:
    if _DAEMON_OPTIONS.intersection(text.partition("=")[0] for text in command.texts):
        return True
    return command.program in _DAEMONS and not _NO_DAEMON.intersection(command.texts)


def _overlaps(commands: list[Command]) -> Iterator[Finding]:
    """Pairs of commands that one line could fit, where it matters which of them decides."""
    by_shape: dict[tuple[str, int], list[Command]] = {}
    for command in commands:
        by_shape.setdefault((command.texts[0], len(command.words)), []).append(command)
    for first, second in (pair for group in by_shape.values() for pair in combinations(group, 2)):
        if all(
            _may_meet(first, one, second, other) for one, other in zip(first.words, second.words, strict=True)
        ):
            same = first.rule.model_dump(exclude={"run", "where"}) == second.rule.model_dump(
                exclude={"run", "where"}
            )
            yield second.found(
                "warning",
                "overlap",
                f"one line can fit this and commands[{first.index}]"
                + ("" if same else ": the stricter of the two decides"),
                "remove one, or narrow its values so that no line fits both",
            )


def _may_meet(first: Command, one: Word, second: Command, other: Word) -> bool:
    """Whether one word could fit both; in doubt yes."""
    if _literal(one) is not None and _literal(other) is not None:
        return one == other
    if _literal(one) is not None:
        return _fits(second, other, _literal(one) or "")
    if _literal(other) is not None:
        return _fits(first, one, _literal(other) or "")
    return True


def _literal(word: Word) -> str | None:
    return word[0] if len(word) == 1 and isinstance(word[0], str) else None


def _fits(command: Command, word: Word, text: str) -> bool:
    edges = _edge(word), _edge(tuple(reversed(word)))
    if not text.startswith(edges[0]) or not text.endswith(edges[1]):
        return False
    piece = word[0]
    if len(word) > 1 or not isinstance(piece, Slot):
        return True
    return _accepts(command.document.type_of(command.rule, piece.name), text)


def _edge(pieces: Iterable[str | Slot]) -> str:
    first = next(iter(pieces))
    return first if isinstance(first, str) else ""


def _accepts(type_: ParameterType, text: str) -> bool:
    try:
        type_.accept(text)
    except ValueRefused:
        return False
    return True
