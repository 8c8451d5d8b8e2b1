"""A client's open SFTP handles: downloads, uploads, waiting uploads, and listings."""

from __future__ import annotations

import re
import stat
import time
from collections.abc import Callable
from pathlib import Path

from broker.kernel.spooled import Spooled, SpoolFull
from sessions_app.gateways.ssh import sftp_packets as wire
from sessions_app.gateways.ssh.sftp_packets import FILE, Attributes
from sessions_app.gateways.ssh.transfers import FileTransfer
from sessions_app.policy.commands.characters import hidden_at
from sessions_app.policy.commands.ssh.transfers import Facts, Transfer

# Names in one reply.
_NAMES = 100
# Bytes of a text that approvers see.
MOST_SHOWN = 64 * 1024
_LINES = re.compile(r"\r?\n|\t")
_IN_ORDER = "Files can only be read and written from start to end. Begin again."
_UNFINISHED = "its holder closed the file before the end"


class Refusal(Exception):
    """A request that gets a status other than OK. ``text`` is shown to the client, and may be empty."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Handle:
    """An open handle. Methods that a kind of handle does not support raise Refusal."""

    path = ""

    async def read(self, offset: int, count: int) -> bytes:
        """Return ``count`` bytes from ``offset``; fewer only at the end."""
        raise Refusal(wire.FAILURE, "This handle is not open for reading.")

    async def write(self, offset: int, data: bytes) -> None:
        """Write there."""
        raise Refusal(wire.FAILURE, "This handle is not open for writing.")

    def about(self) -> Attributes:
        """Return the known attributes of the file."""
        raise Refusal(wire.FAILURE, "This handle is not for a file.")

    async def close(self) -> None:
        """Close the handle at the client's request. An upload is complete only after this."""

    async def drop(self, reason: str) -> None:
        """Cut the transfer, because the client has left or the grant has ended."""


class Listing(Handle):
    """The entries of a folder, as they were when the folder was opened."""

    def __init__(self, entries: list[tuple[str, Attributes]]) -> None:
        self._entries = entries

    def names(self) -> list[tuple[str, str, Attributes]]:
        """Return the next entries, each with its line; none at the end."""
        part, self._entries = self._entries[:_NAMES], self._entries[_NAMES:]
        return [(name, _line(name, about), about) for name, about in part]


def _line(name: str, about: Attributes) -> str:
    at = time.strftime("%Y-%m-%d %H:%M", time.gmtime(about.time)) if about.time is not None else "-"
    return f"{stat.filemode(about.mode or 0)} {about.size or 0:>12} {at:>16} {name}"


class Download(Handle):
    """A download: the file comes from the target while the client reads it."""

    def __init__(self, transfer: FileTransfer, give_back: Callable[[], None]) -> None:
        self._transfer, self._give_back = transfer, give_back
        self._offset = 0

    async def opened(self) -> Download:
        """Return the download once the target has opened the file. Raises NotTransferred and StintError."""
        await self._transfer.opened()
        return self

    async def read(self, offset: int, count: int) -> bytes:
        if offset == self._offset or offset >= self._transfer.size:
            # A target may send more than it announced.
            count = min(count, max(0, self._transfer.size - offset))
            part = await self._transfer.read(count) if count else b""
            self._offset += len(part)
            return part
        raise Refusal(wire.FAILURE, _IN_ORDER)

    def about(self) -> Attributes:
        return Attributes(FILE | 0o444, self._transfer.size, self._transfer.time)

    async def close(self) -> None:
        try:
            if self._offset == self._transfer.size:
                await self._transfer.finished()
        finally:
            await self.drop(_UNFINISHED)

    async def drop(self, reason: str) -> None:
        self._give_back()
        await self._transfer.end(reason)


class Upload(Handle):
    """An upload: the file goes to the target while the client sends it."""

    def __init__(self, transfer: FileTransfer, give_back: Callable[[], None]) -> None:
        self._transfer, self._give_back = transfer, give_back
        self._offset = 0

    @property
    def path(self) -> str:  # type: ignore[override]  # it has its own
        """The path on the target."""
        return self._transfer.path

    async def opened(self) -> Handle:
        """Return the upload once the target is ready to write. Raises NotTransferred and StintError."""
        await self._transfer.opened()
        return self

    async def write(self, offset: int, data: bytes) -> None:
        if offset != self._offset:
            raise Refusal(wire.FAILURE, _IN_ORDER)
        self._offset += len(data)
        await self._transfer.send(data)

    def about(self) -> Attributes:
        return Attributes(FILE | self._transfer.mode, self._offset, int(time.time()))

    async def close(self) -> None:
        try:
            await self._transfer.publish()
        finally:
            await self.drop(_UNFINISHED)

    async def drop(self, reason: str) -> None:
        self._give_back()
        await self._transfer.end(reason)


class Waiting(Handle):
    """An upload that waits at the gateway, because its size and digest have to be decided first."""

    def __init__(
        self,
        allowed: Transfer,
        give_back: Callable[[], None],
        folder: Path,
        start: Callable[[Facts, str | None], FileTransfer],
    ) -> None:
        """``start`` begins the transfer once the content is known, with its text if it can be shown.

        The file waits in ``folder`` until then.
        """
        self.path = allowed.path
        self._allowed, self._give_back, self._start = allowed, give_back, start
        self._spooled = Spooled(folder)
        self._transfer: FileTransfer | None = None
        self._failed = False

    async def write(self, offset: int, data: bytes) -> None:
        if self._failed or offset != self._spooled.size:
            raise Refusal(wire.FAILURE, "" if self._failed else _IN_ORDER)
        if offset + len(data) > self._allowed.most:
            self._failed = True
            # A file that is too large is refused, and the refusal is recorded.
            self._transfer = self._start(Facts(offset + len(data)), None)
            await self._transfer.finished()
        try:
            self._spooled.write(data)
        except SpoolFull:
            self._failed = True
            raise
        except OSError as error:
            self._failed = True
            raise Refusal(wire.FAILURE, f"The gateway can't keep the file: {error.strerror}.") from error

    def about(self) -> Attributes:
        return Attributes(FILE | int(self._allowed.mode, 8), self._spooled.size, int(time.time()))

    async def close(self) -> None:
        try:
            if self._failed:
                raise Refusal(wire.FAILURE, "")
            facts = Facts(self._spooled.size, self._spooled.sha256)
            self._transfer = self._start(facts, text_of(self._spooled))
            await self._transfer.opened()
            for piece in self._spooled.pieces():
                await self._transfer.send(piece)
            await self._transfer.publish()
        finally:
            await self.drop(_UNFINISHED)

    async def drop(self, reason: str) -> None:
        self._give_back()
        self._spooled.close()
        if self._transfer is not None:
            await self._transfer.end(reason)


def text_of(spooled: Spooled) -> str | None:
    """Return a whole file as text; None if it is too large to be shown, or not UTF-8, or has invisible
    characters other than tabs and newlines. Raises OSError.
    """
    if spooled.size > MOST_SHOWN:
        return None
    try:
        text = b"".join(spooled.pieces()).decode()
    except UnicodeDecodeError:
        return None
    return text if hidden_at(_LINES.sub("", text)) is None else None
