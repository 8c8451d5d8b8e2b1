"""The SFTP server: the files of a target that a client sees, and the transfers that it starts.

Only transfers reach the target, and each is decided and recorded first. Clients see the paths that the
grant's rules name (`policy/commands/ssh/tree.py`), with sizes and times from a listing or from an open file.
Requests are answered one at a time, in the order in which they arrived.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

import structlog

from broker.kernel.errors import StintError
from sessions_app.connectors.ssh.files import DENIED, MISSING
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.ssh import sftp_packets as wire
from sessions_app.gateways.ssh.begun import Transfers
from sessions_app.gateways.ssh.open_files import Handle, Listing, Refusal, Upload, Waiting
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.sftp_packets import FILE, FOLDER, Attributes, BadPacket, Packet
from sessions_app.gateways.ssh.slots import SLOTS
from sessions_app.gateways.ssh.transfers import NotTransferred
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.ssh import tree
from sessions_app.policy.commands.ssh.decide import decide

log = structlog.get_logger(__name__)

# The maximum number of open handles of one channel.
HANDLES = 8
# The number of listed entries that a channel remembers, so that a client can look up a name that it has just
# listed.
_REMEMBERED = 20_000
# Seconds until a lookup of a path that no rule names counts as an attempt to download it. A client that is
# about to upload to a path also looks it up first.
_LOOKED = 0.5
_FOLDER, _FILE = Attributes(mode=FOLDER | 0o555), Attributes(mode=FILE | 0o444)
_NOT_UTF8 = answers.Refused("the name is not valid UTF-8", None, "word")
_NOT_OFFERED = {
    wire.REMOVE: "remove",
    wire.MKDIR: "mkdir",
    wire.RMDIR: "rmdir",
    wire.RENAME: "rename",
    wire.READLINK: "readlink",
    wire.SYMLINK: "symlink",
}


class Client(Protocol):
    """The client's side of a channel."""

    def send(self, data: bytes) -> None:
        """Send a reply."""

    async def drained(self) -> None:
        """Wait until the client can receive more."""

    def note(self, text: str) -> None:
        """Show a message from Stint itself."""


class FileServer:
    """The SFTP server of one channel. ``stop`` may be called at any time."""

    def __init__(
        self, parts: Parts, session: OpenSession[Use], reader: asyncio.StreamReader, client: Client
    ) -> None:
        self._session, self._reader, self._client = session, reader, client
        self._numbers = itertools.count(1)
        self._handles: dict[bytes, Handle] = {}
        self._transfers = Transfers(parts, session, client.note)
        self._seen: dict[str, Attributes] = {}
        self._looked_at = ""
        self._timer: asyncio.TimerHandle | None = None
        self._recording: set[asyncio.Task[None]] = set()
        self._stopped = ""
        self._answers: Mapping[int, Callable[[int, Packet], Awaitable[bytes]]] = {
            wire.REALPATH: self._realpath,
            wire.STAT: self._stat,
            wire.LSTAT: self._stat,
            wire.FSTAT: self._fstat,
            wire.SETSTAT: self._setstat,
            wire.FSETSTAT: self._fsetstat,
            wire.OPENDIR: self._opendir,
            wire.READDIR: self._readdir,
            wire.OPEN: self._open,
            wire.READ: self._read,
            wire.WRITE: self._write,
            wire.CLOSE: self._close,
            wire.EXTENDED: self._extended,
        }

    @property
    def grant_ref(self) -> str:
        """The reference of the channel's grant."""
        return self._session.use.grant_ref

    def stop(self, reason: str) -> None:
        """Cut every transfer, and answer no more requests."""
        self._stopped = self._stopped or reason
        self._transfers.stop(reason)
        self._reader.feed_eof()

    async def run(self) -> None:
        """Serve the client until it leaves or the grant ends."""
        try:
            await self._greet()
            while not self._stopped:
                await self._reply(await self._next())
                # Other tasks run after each request, so that bandwidth is shared evenly.
                await asyncio.sleep(0)
        except asyncio.IncompleteReadError:
            pass
        except BadPacket as error:
            self._client.note(f"This is not SFTP version 3: {error}.")
        finally:
            self._note_look()
            for handle in list(self._handles.values()):
                await handle.drop(self._stopped or "the holder disconnected")
            await asyncio.gather(*self._recording, return_exceptions=True)

    async def _greet(self) -> None:
        if (await self._next()).type != wire.INIT:
            raise BadPacket("it does not begin with INIT")
        self._client.send(wire.version())

    async def _next(self) -> Packet:
        length = int.from_bytes(await self._reader.readexactly(4), "big")
        if not 1 <= length <= wire.LONGEST_PACKET:
            raise BadPacket(f"a packet has {length} bytes")
        return Packet(await self._reader.readexactly(length))

    async def _reply(self, packet: Packet) -> None:
        id_ = packet.number()
        answer = self._answers.get(packet.type, self._refuse)
        try:
            reply = await answer(id_, packet)
        except Refusal as error:
            reply = self._no(id_, error.code, error.text)
        except NotTransferred as error:
            reply = self._no(id_, _code(error.word), _said(error))
        except StintError as error:
            reply = self._no(id_, wire.FAILURE, str(error))
        self._client.send(reply)
        await self._client.drained()

    def _no(self, id_: int, code: int, text: str) -> bytes:
        # OpenSSH shows its own text for a status, so the reason is also sent as error output.
        if text and not self._stopped:
            self._client.note(text)
        return wire.status(id_, code, text)

    # Paths.

    def _path(self, packet: Packet) -> str:
        try:
            return tree.plain(packet.text())
        except UnicodeDecodeError:
            raise Refusal(wire.PERMISSION_DENIED, f"not allowed: {_NOT_UTF8.reason}") from None

    async def _realpath(self, id_: int, packet: Packet) -> bytes:
        path = self._path(packet)
        return wire.names(id_, [(path, path, Attributes())])

    async def _stat(self, id_: int, packet: Packet) -> bytes:
        path, compiled = self._path(packet), self._session.use.compiled
        if path != self._looked_at:
            self._note_look()
        about = self._about(path)
        if about is not None:
            return wire.reply(wire.ATTRS, id_, about.encoded())
        if not tree.allows(compiled, "put", path):
            self._looked_at = path
            self._timer = asyncio.get_running_loop().call_later(_LOOKED, self._note_look)
        return wire.status(id_, wire.NO_SUCH_FILE, "No such file")

    def _about(self, path: str) -> Attributes | None:
        """Return the attributes that are shown for a path, whether or not it exists on the target."""
        compiled = self._session.use.compiled
        if tree.is_folder(compiled, path):
            return _FOLDER
        if path in self._seen:
            return self._seen[path]
        return _FILE if tree.allows(compiled, "get", path) else None

    def _note_look(self, opened: str = "") -> None:
        """Record the lookup of a path that no rule names as a refused download, unless an upload has
        followed.
        """
        path, self._looked_at = self._looked_at, ""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if path and path != opened:
            task = asyncio.get_running_loop().create_task(self._record_look(path))
            self._recording.add(task)
            task.add_done_callback(self._recording.discard)

    async def _record_look(self, path: str) -> None:
        line = tree.line_for("get", path)
        decision = decide(self._session.use.compiled, line)
        try:
            await self._transfers.attempt(line, decision).finished()
        except NotTransferred as error:
            self._client.note(_said(error))
        except (Refusal, StintError) as error:
            log.warning("look.not_recorded", error=str(error))

    def _remember(self, path: str, about: Attributes) -> None:
        self._seen[path] = about
        while len(self._seen) > _REMEMBERED:
            del self._seen[next(iter(self._seen))]

    # Folders.

    async def _opendir(self, id_: int, packet: Packet) -> bytes:
        path, compiled = self._path(packet), self._session.use.compiled
        self._note_look()
        allowed = tree.allows(compiled, "list", path)
        if not allowed and tree.is_folder(compiled, path) and not tree.has_open_names(compiled, path):
            found = [(name, _FOLDER if folder else _FILE) for name, folder in tree.children(compiled, path)]
        else:
            found = await self._listed(path)
        return wire.reply(wire.HANDLE, id_, wire.string(self._keep(Listing(found))))

    async def _listed(self, path: str) -> list[tuple[str, Attributes]]:
        found = [
            (entry.name, Attributes(entry.mode, entry.size, entry.time))
            for entry in await self._transfers.listed(path)
        ]
        for name, about in found:
            self._remember(f"{path.rstrip('/')}/{name}", about)
        return found

    async def _readdir(self, id_: int, packet: Packet) -> bytes:
        handle = self._handle(packet)
        part = handle.names() if isinstance(handle, Listing) else None
        if part is None:
            raise Refusal(wire.FAILURE, "This handle is not for a folder.")
        return wire.names(id_, part) if part else wire.status(id_, wire.EOF)

    # Files.

    async def _open(self, id_: int, packet: Packet) -> bytes:
        path, flags = self._path(packet), packet.number()
        packet.attributes()
        self._note_look(opened=path)
        if flags & wire.APPENDS or not flags & (wire.WANTS_READ | wire.WANTS_WRITE):
            raise Refusal(wire.UNSUPPORTED, "Files are read or written as a whole, never appended to.")
        if flags & wire.WANTS_READ and flags & wire.WANTS_WRITE:
            raise Refusal(wire.UNSUPPORTED, "A file is either read or written, not both.")
        if len(self._handles) >= HANDLES:
            raise Refusal(wire.FAILURE, f"At most {HANDLES} files can be open at once.")
        give_back = SLOTS.take(self._session.use.grant_id)
        transfers = self._transfers
        try:
            reads = flags & wire.WANTS_READ
            handle = await (transfers.download if reads else transfers.upload)(path, give_back)
        except BaseException:
            give_back()
            raise
        return wire.reply(wire.HANDLE, id_, wire.string(self._keep(handle)))

    def _keep(self, handle: Handle) -> bytes:
        if len(self._handles) >= HANDLES:
            raise Refusal(wire.FAILURE, f"At most {HANDLES} files can be open at once.")
        name = str(next(self._numbers)).encode()
        self._handles[name] = handle
        return name

    def _handle(self, packet: Packet) -> Handle:
        handle = self._handles.get(packet.text())
        if handle is None:
            raise Refusal(wire.FAILURE, "This handle is not open.")
        return handle

    async def _read(self, id_: int, packet: Packet) -> bytes:
        handle, offset, count = self._handle(packet), packet.long(), packet.number()
        part = await handle.read(offset, min(count, wire.LONGEST_DATA))
        return wire.data(id_, part) if part else wire.status(id_, wire.EOF)

    async def _write(self, id_: int, packet: Packet) -> bytes:
        handle, offset = self._handle(packet), packet.long()
        await handle.write(offset, packet.text())
        return wire.status(id_, wire.OK)

    async def _close(self, id_: int, packet: Packet) -> bytes:
        name = packet.text()
        handle = self._handles.get(name)
        if handle is None:
            raise Refusal(wire.FAILURE, "This handle is not open.")
        try:
            await handle.close()
        finally:
            # Removed only now: until then, the end of the grant must be able to cut the transfer.
            self._handles.pop(name, None)
        if isinstance(handle, Upload | Waiting):
            self._remember(handle.path, handle.about())
        return wire.status(id_, wire.OK)

    async def _fstat(self, id_: int, packet: Packet) -> bytes:
        return wire.reply(wire.ATTRS, id_, self._handle(packet).about().encoded())

    # The rule determines the attributes, regardless of the client's request.

    async def _fsetstat(self, id_: int, packet: Packet) -> bytes:
        handle = self._handle(packet)
        return self._set(id_, handle.about() if isinstance(handle, Upload | Waiting) else None, packet)

    async def _setstat(self, id_: int, packet: Packet) -> bytes:
        return self._set(id_, self._seen.get(self._path(packet)), packet)

    def _set(self, id_: int, about: Attributes | None, packet: Packet) -> bytes:
        """Accept attributes that a file already has, because scp sets the size of a file that it has
        written.
        """
        asked, known = packet.attributes(), about or Attributes()
        if (
            asked.time is None
            and asked.size in (None, known.size)
            and (asked.mode is None or (known.mode or 0) & 0o7777 == asked.mode & 0o7777)
        ):
            return wire.status(id_, wire.OK)
        kept = f"the mode is {known.mode & 0o7777:04o}, and " if known.mode is not None else ""
        raise Refusal(
            wire.PERMISSION_DENIED, f"not allowed: {kept}times and owners can't be changed. Remove -p."
        )

    async def _extended(self, id_: int, packet: Packet) -> bytes:
        if packet.text() == wire.LIMITS:
            return wire.limits(id_, HANDLES)
        return wire.status(id_, wire.UNSUPPORTED, "not supported")

    async def _refuse(self, id_: int, packet: Packet) -> bytes:
        """Refuse a request that no rule can allow, and record it."""
        verb = _NOT_OFFERED.get(packet.type)
        if verb is None:
            return wire.status(id_, wire.UNSUPPORTED, "not supported")
        path = self._path(packet)
        self._note_look()
        why = f"{verb} is not available over SFTP, because rules can only allow get, put and list"
        nearest = tree.nearest(self._session.use.compiled)
        line = f"{verb} {path}"
        refused = answers.Refused(why, nearest, "program")
        await self._transfers.attempt(line, refused).finished()
        raise AssertionError


def _code(word: str) -> int:
    if word in MISSING:
        return wire.NO_SUCH_FILE
    return wire.PERMISSION_DENIED if word == "refused" or word in DENIED else wire.FAILURE


def _said(error: NotTransferred) -> str:
    return f"not allowed: {error.why}" if error.word == "refused" else f"not transferred: {error.why}."
