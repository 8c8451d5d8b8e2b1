"""File rules on the targets of the SSH gateway's tests, and the real clients that use them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from tests.support.servers.gateway import SET, Place

RULES = """
  - {{get: "{folder}/logs/{{file}}", max: 300MB, where: {{file: {{name: 64}}}}}}
  - {{list: "{folder}/logs"}}
  - put: "{folder}/new/{{file}}.bin"
    max: 300MB
    mode: "0640"
    where: {{file: {{pattern: "[a-z0-9]{{1,40}}"}}}}
  - {{put: "{folder}/small/{{file}}.bin", max: 1KB, where: {{file: {{name: 64}}}}}}
  - {{put: "{folder}/again/{{file}}", max: 1GB, replace: true, where: {{file: {{name: 64}}}}}}
  - {{put: "{folder}/pinned/file", sha256: "{digest}"}}
  - {{put: "{folder}/held/{{file}}", hold: true, where: {{file: {{name: 64}}}}}}
examples:"""
FOLDERS = ("logs", "new", "small", "again", "pinned", "held")


def with_files(place: Place, folder: Path, digest: str) -> dict[str, str]:
    """Return the catalog of the tests with rules for these files. ``digest`` is of `pinned/file`."""
    for name in FOLDERS:
        (folder / name).mkdir(exist_ok=True)
    rules = RULES.format(folder=folder, digest=digest)
    head, _, tail = SET.format(contain=place.contain).partition("\nexamples:")
    written = yaml.safe_load(head + rules + tail)
    # The folder of a test is in one where everyone can write.
    for number, rule in enumerate(written["commands"]):
        if (verb := next(iter(rule))) != "run":
            written["accept"][f"writable_path commands[{number}].{verb}"] = "for a test"
    return {**place.catalog(), "command-sets/restart-web.yaml": yaml.safe_dump(written, sort_keys=False)}


def client(place: Place, program: str, *words: str, who: str = "alice") -> list[str]:
    """Return the command line of sftp or scp, without any of this machine's configuration."""
    options = place.command(who=who)[1:-1]
    at = options.index("-p")
    return [program, "-P", options[at + 1], *options[:at], *options[at + 2 :], *words]


def sftp(
    place: Place, batch: str, *, user: str = "web-1", timeout: float = 60
) -> subprocess.CompletedProcess[bytes]:
    """Run sftp with a batch of commands."""
    return subprocess.run(
        client(place, "sftp", "-b", "-", f"{user}@127.0.0.1"),
        input=batch.encode(),
        capture_output=True,
        timeout=timeout,
        check=False,
    )


def scp(
    place: Place, *words: str, timeout: float = 60, who: str = "alice"
) -> subprocess.CompletedProcess[bytes]:
    """Run scp."""
    command = client(place, "scp", *words, who=who)
    return subprocess.run(command, capture_output=True, timeout=timeout, check=False)
