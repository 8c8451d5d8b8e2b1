"""Transfers through the SSH gateway, by the real clients, for the contract of gateways."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sessions_app.gateways.ssh import sftp_packets as wire
from tests.sessions_app.gateways.conftest import make_place
from tests.support.pace import allow
from tests.support.servers.endpoints import (
    Answer,
    Flood,
    Held,
    Lasting,
    SSHEndpoint,
    _Command,
    _HeldCommand,
    policies,
)
from tests.support.servers.files import client, scp, with_files
from tests.support.servers.gateway import connections_at, new_tag, on_target
from tests.support.servers.proxy import black_hole
from tests.support.waits import eventually


@dataclass
class FilesEndpoint(SSHEndpoint):
    """The SSH gateway, by sftp and scp."""

    folder: Path = Path()
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def once(self, grant: Any) -> Answer:
        return self._copied(grant, "logs/small")

    def outside(self, grant: Any) -> Answer:
        return self._copied(grant, "secret")

    def give_up(self, grant: Any, *, after: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            scp(
                self.place, self._there(grant, "logs/small"), "/dev/null", timeout=after, who=self._who(grant)
            )

    def _there(self, grant: Any, path: str) -> str:
        return f"{grant.ref}.web-1@127.0.0.1:{self.folder}/{path}"

    def _who(self, grant: Any) -> str:
        return str(grant.holder.username)

    def _copied(self, grant: Any, path: str) -> Answer:
        here = self.place.folder / "got"
        done = scp(self.place, self._there(grant, path), str(here), timeout=allow(40), who=self._who(grant))
        return Answer(done.returncode == 0, (done.stderr + done.stdout).decode())

    @contextlib.contextmanager
    def lasting(self, grant: Any, kind: str = "upload") -> Iterator[Lasting]:
        del kind
        tag = new_tag()
        words = [str(self.folder / "mine"), self._there(grant, f"again/{tag}")]
        sending = subprocess.Popen(
            client(self.place, "scp", "-l", "60000", *words, who=self._who(grant)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            eventually(lambda: on_target(tag) or sending.poll() is not None)
            assert sending.poll() is None, sending.communicate()
            yield _Command(sending, tag)
        finally:
            sending.kill()
            sending.communicate()

    @contextlib.contextmanager
    def flood(self, grant: Any) -> Iterator[Flood]:
        before, size = connections_at(self.place.port), 100_000_000 + new_tag()
        name = f"big{size}"
        (self.folder / "logs" / name).touch()
        with (self.folder / "logs" / name).open("r+b") as file:
            file.truncate(size)
        # Its output goes into a pipe without a reader.
        receiving = subprocess.Popen(
            self.place.command("sftp", options=("-s",), **self._as(grant)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        try:
            receiving.stdin.write(_reads(f"{self.folder}/logs/{name}"))
            receiving.stdin.flush()
            eventually(lambda: on_target(f"count={size}") or receiving.poll() is not None)
            yield Flood(self.place.port, before, lambda: bool(on_target(f"count={size}")))
        finally:
            receiving.kill()
            receiving.wait()

    @contextlib.contextmanager
    def held(self, grant: Any) -> Iterator[Held]:
        words = [str(self.folder / "logs" / "small"), self._there(grant, f"held/{next(self._numbers)}")]
        sending = subprocess.Popen(
            client(self.place, "scp", *words, who=self._who(grant)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            eventually(lambda: grant.runs.filter(state="held").exists() or sending.poll() is not None)
            assert sending.poll() is None, sending.communicate()
            yield _HeldCommand(sending)
        finally:
            sending.kill()
            sending.communicate()


def _reads(path: str) -> bytes:
    """Return the requests of a client that reads a file, without waiting for any reply."""
    number = struct.Struct(">I").pack
    opened = wire.string(path.encode()), number(wire.WANTS_READ), number(0)
    reads = (
        wire.reply(wire.READ, 2 + at, wire.string(b"1"), struct.pack(">QI", at * 32_768, 32_768))
        for at in range(1500)
    )
    return wire.packet(wire.INIT, number(3)) + wire.reply(wire.OPEN, 1, *opened) + b"".join(reads)


@contextlib.contextmanager
def files_endpoint(blocker: Any, tmp_path_factory: Any) -> Iterator[FilesEndpoint]:
    """Run the SSH gateway, with rules for files."""
    with blocker.unblock():
        for place in make_place(tmp_path_factory, start=False):
            folder = (place.folder / "files").resolve()
            folder.mkdir()
            with black_hole(place.folder / "hole", place.env["DATABASE_URL"]) as (way, url):
                digest = hashlib.sha256(b"").hexdigest()
                catalog = {**with_files(place, folder, digest), **policies("web", "restart-web")}
                place.world.catalog.update(catalog)
                place.world.apply()
                (folder / "logs" / "small").write_bytes(b"small")
                (folder / "secret").write_bytes(b"secret")
                with (folder / "mine").open("wb") as file:
                    file.truncate(800_000_000)
                opened = FilesEndpoint(place, way, url, folder=folder)
                opened.start()
                yield opened
                opened.stop()
