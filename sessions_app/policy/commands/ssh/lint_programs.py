"""Programs that do more than their name says, and verbs of theirs that do."""

from collections.abc import Callable, Iterator, Mapping

from sessions_app.policy.commands.findings import Finding, Severity
from sessions_app.policy.commands.parameters import Duration, Int
from sessions_app.policy.commands.ssh.command import Command
from sessions_app.policy.commands.ssh.lint_families import family_of

_CONTAINER = frozenset({"docker", "podman", "nerdctl", "ctr", "crictl", "docker-compose", "podman-compose"})
_CONTAINER_ESCAPES = frozenset(
    ("exec", "run", "create", "cp", "commit", "build", "import", "load", "attach", "compose", "context",
     "plugin", "up")
)  # fmt: skip
_CLUSTER_ESCAPES = frozenset(
    ("exec", "run", "debug", "cp", "attach", "apply", "create", "edit", "port-forward", "proxy", "patch",
     "replace", "ssh", "ssm")
)  # fmt: skip
_DATABASES = frozenset(
    ("mysql", "mariadb", "psql", "sqlite3", "mongo", "mongosh", "redis-cli", "valkey-cli",
     "clickhouse-client", "cqlsh", "influx", "sqlcmd", "sqlplus")
)  # fmt: skip
_SYSTEMCTL_PAGES = frozenset(
    ("", "status", "show", "cat", "help", "list-units", "list-unit-files", "list-timers", "list-sockets",
     "list-jobs", "list-dependencies", "list-machines", "list-paths", "list-automounts")
)  # fmt: skip
_SYSTEMCTL_WIDE = frozenset(
    ("edit", "link", "set-environment", "import-environment", "set-property", "preset-all", "switch-root")
)
_GIT_PAGES = frozenset(
    ("", "log", "diff", "show", "branch", "tag", "blame", "grep", "stash", "reflog", "shortlog", "config",
     "help")
)  # fmt: skip
_MANY_VERBS = _CONTAINER | frozenset(
    ("systemctl", "git", "ip", "kubectl", "oc", "helm", "service", "apt", "apt-get", "nomad", "vault",
     "consul", "virsh")
)  # fmt: skip


def program_findings(command: Command) -> Iterator[Finding]:
    """What is to be said about the program that a command names."""
    program = command.program
    family = family_of(program)
    if family is not None:
        yield command.found(family.severity, family.code, f"`{program}` {family.why}", family.fix)
    if family is not None and family.code == "wrapper":
        yield from _wrapped(command)
    if family is not None and family.code == "cluster_tool":
        for word in sorted(_CLUSTER_ESCAPES & command.said):
            message = f"`{program} {word}` runs or places programs on another system"
            yield command.found("error", "starter", message, family.fix)
    if program in _MANY_VERBS and command.verbs is None:
        yield command.found(
            "error",
            "free_verb",
            f"what `{program}` does is left open: a value stands where its verb is expected",
            "write one command for each verb, or use choice",
        )
    if program in _SPECIAL:
        yield from _SPECIAL[program](command)
    if program in _CONTAINER:
        yield from _container(command)
    if program in _DATABASES:
        yield _database(command)


def _wrapped(command: Command) -> Iterator[Finding]:
    """The program behind a wrapper is judged like one that stands alone."""
    for text in sorted(command.said):
        name = text.rpartition("/")[2]
        inner = family_of(name)
        if inner is not None and inner.severity == "error":
            message = f"`{name}` behind `{command.program}` {inner.why}"
            yield command.found("error", inner.code, message, inner.fix)
    words = (
        position for position, text in enumerate(command.texts) if position and text[:1] not in "-0123456789"
    )
    types = {position: type_ for _, type_, position in command.whole_word_types()}
    first = next((at for at in words if not isinstance(types.get(at), Int | Duration)), 0)
    if first in types:
        message = f"the program that `{command.program}` starts is left open"
        yield command.found("error", "free_verb", message, "write out the program's name")


def _container(command: Command) -> Iterator[Finding]:
    for word in sorted(_CONTAINER_ESCAPES & command.said):
        yield command.found(
            "error",
            "starter",
            f"`{command.program} {word}` starts any program, and with the rights of the container service",
            "put the one task into the image or a unit file, and start that by its name",
        )
    yield command.found(
        "warning",
        "handed_over",
        f"`{command.program}` hands its work to a service: what that does is not cut off when the grant ends",
        "accept this if the work may go on; add `hold: true` if a second person should look first",
    )


def _database(command: Command) -> Finding:
    return command.found(
        "error" if command.has_values or len(command.words) == 1 else "warning",
        "database_client",
        f"`{command.program}` runs programs by `\\!` and `system`, and a value in SQL can be more SQL",
        "use a cluster of kind postgres, or write the whole statement with -c and no values in it",
    )


def _no_pager(command: Command, verb: str = "") -> Finding:
    shown = f"{command.program} {verb}".rstrip()
    return command.found(
        "error",
        "pager",
        f"`{shown}` shows its output in a pager, which starts a shell at a key press",
        f"write `{command.program} --no-pager {verb}".rstrip() + " …`",
    )


def _systemctl(command: Command) -> Iterator[Finding]:
    for verb in command.verbs or ():
        if verb in _SYSTEMCTL_PAGES and "--no-pager" not in command.texts:
            yield _no_pager(command, verb)
        if verb in _SYSTEMCTL_WIDE:
            yield command.found(
                "error",
                "starter",
                f"`systemctl {verb}` decides what other services run",
                "put the unit file in place with your deployment, and allow to restart it",
            )


def _journalctl(command: Command) -> Iterator[Finding]:
    if "--no-pager" not in command.texts:
        yield _no_pager(command)


def _git(command: Command) -> Iterator[Finding]:
    if not {"--no-pager", "-P"}.intersection(command.texts):
        for verb in sorted(_GIT_PAGES.intersection(command.said | set(command.verbs or ()))):
            yield _no_pager(command, verb)
    yield command.found(
        "warning",
        "starter",
        "`git` runs hooks, filters and helpers that the repository or its configuration names",
        "fetch into folders that only the administrator writes to, or leave it to your deployment",
    )


def _find(command: Command) -> Iterator[Finding]:
    if "-delete" in command.texts:
        yield command.found(
            "warning",
            "writes",
            "`find -delete` removes all that its other words happen to select",
            "write the folder and the tests literally, and give the command `hold: true`",
        )
    yield command.found(
        "warning",
        "starter",
        "`find` runs programs and writes files by its options (-exec, -fprint)",
        "write all its options literally, or use ls with a fixed path",
    )


def _sed(command: Command) -> Iterator[Finding]:
    if command.has_short("i") or any(text.startswith("--in-place") for text in command.texts):
        yield command.found(
            "warning", "writes", "`sed -i` rewrites files", "put the new file in place with your deployment"
        )
    if "--sandbox" not in command.texts:
        severity: Severity = "error" if command.has_values else "warning"
        yield command.found(
            severity,
            "starter",
            "`sed` runs programs by its command e, and reads and writes files by r and w",
            "add --sandbox (GNU sed), or use head, tail or grep",
        )


def _ip(command: Command) -> Iterator[Finding]:
    if "exec" in command.said:
        yield command.found("error", "starter", "`ip … exec` starts any program", "name that program itself")


_SPECIAL: Mapping[str, Callable[[Command], Iterator[Finding]]] = {
    "systemctl": _systemctl,
    "git": _git,
    "ip": _ip,
    "journalctl": _journalctl,
    "loginctl": _journalctl,
    "coredumpctl": _journalctl,
    "find": _find,
    "sed": _sed,
}
