"""Check whether a file rule has non-obvious effects: access to code, keys, devices or web pages."""

from __future__ import annotations

from collections.abc import Iterator

from sessions_app.policy.commands.ssh.file_rules import FileRule, PutFile
from sessions_app.policy.commands.ssh.hits import Hit, only_effect
from sessions_app.policy.commands.ssh.lint_values import below
from sessions_app.policy.commands.ssh.modes import mode_code
from sessions_app.policy.commands.ssh.places import file_codes, holds, located
from sessions_app.policy.commands.ssh.table import table
from sessions_app.policy.commands.ssh.words import Spoken

# Folders whose content is not on a disk.
_KERNEL = ("/proc", "/sys", "/dev")
# Folders whose files web servers serve, or run if they have certain extensions.
_WEB = (
    "/var/www",
    "/srv/www",
    "/srv/http",
    "/usr/share/nginx",
    "/usr/local/www",
    "/var/lib/tomcat*/webapps",
    "/opt/tomcat/webapps",
    "public_html",
    "htdocs",
    "wwwroot",
    "webapps",
    "cgi-bin",
)
_READS = {
    "secrets_below": "reaches a folder that contains passwords, keys or home folders",
    "raw": "reads a device or memory, which exposes every file and secret of the machine",
}


def file_hits(rule: FileRule, path: Spoken) -> list[Hit]:
    """Return the hits for a rule and its path."""
    writes = isinstance(rule, PutFile)
    least = only_effect(path.text, "change" if writes else "read")
    return [least, *_of_place(path, writes=writes), *_of_kernel(path), *_of_upload(rule, path)]


def _of_place(path: Spoken, *, writes: bool) -> Iterator[Hit]:
    for code in file_codes(table().places, path, writes=writes):
        danger = table().dangers[code]
        why = danger.why if writes else _READS.get(code, danger.why)
        yield Hit(danger.severity, code, path.text, why, danger.fix, danger.effect or "read")


def _of_kernel(path: Spoken) -> Iterator[Hit]:
    if any(below(located(text), _KERNEL) for text in path.texts or (path.head,)):
        yield Hit(
            "error",
            "kernel_file",
            path.text,
            "is a device, or a file in which the kernel shows its own or a process's data",
            "name a file on disk, or allow a program that prints the needed data",
        )


def _of_upload(rule: FileRule, path: Spoken) -> Iterator[Hit]:
    if not isinstance(rule, PutFile):
        return
    if code := mode_code(rule.mode):
        danger = table().dangers[code]
        yield Hit(danger.severity, code, f"mode {rule.mode}", danger.why, danger.fix, "change")
    if path.is_free and holds(_WEB, located(path.head.rpartition("/")[0])):
        ending = path.tail.rpartition("/")[2].rpartition(".")[2]
        yield Hit(
            "warning" if ending else "error",
            "web_root",
            path.text,
            "is served by a web server, which may run a file with a name that the holder chooses",
            "list the names with choice, and write out the file extension: {name}.html",
            "change",
        )
