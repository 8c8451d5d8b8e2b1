"""Transfers that holders start on a grant's page. The same code runs them as over SFTP.

What is downloaded or listed goes encrypted to where the page finds it, and uploads come from there.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import stat
from collections.abc import Awaitable, Callable

from django.conf import settings

from broker.kernel.sealed_channel import Receiver, Sender
from sessions_app.gateways.core.orders import PROOF
from sessions_app.gateways.core.registry import OpenSession, Registry
from sessions_app.gateways.ssh.begun import Transfers
from sessions_app.gateways.ssh.open_files import Handle, Refusal
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.slots import SLOTS
from sessions_app.gateways.ssh.transfers import NotTransferred
from sessions_app.operations.sessions.authorize_use import used_from
from sessions_app.operations.sessions.claim_order import Claimed, ClaimedFile
from sessions_app.operations.sessions.drop_file import drop_file
from sessions_app.operations.sessions.keep_piece import keep_piece
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands.ssh.decide import Allowed, decide
from sessions_app.policy.commands.ssh.transfers import Transfer
from sessions_app.queries.gateways.ordered_files import (
    PIECE,
    key_of_file,
    most_on_page,
    opened,
    packed,
    piece_of,
)

# Bytes that an upload passes on at a time, as SFTP clients do.
_PART = 256 * 1024
TOO_LARGE = "the file is larger than {most}, the most that a page transfers; use `stint cp`"


class OrderedTransfer:
    """One ordered transfer, as the only user of its session."""

    finish_by: dt.datetime | None = None
    finish_seconds = 0

    def __init__(
        self, parts: Parts, registry: Registry, claimed: Claimed, use: Use, file: ClaimedFile
    ) -> None:
        """Raises Ended if the grant has ended."""
        self._parts, self._claimed, self._file = parts, claimed, file
        use = used_from(use, claimed.client_address)
        self._session = OpenSession(registry, use, client_address=claimed.client_address, proof=PROOF)
        self._transfers = Transfers(parts, self._session, self.tell, order_id=claimed.order_id)
        self._numbers = 0

    async def run(self) -> None:
        """Try the transfer, and run it if allowed. Nothing is left of a file that is incomplete.

        Raises StintError if nothing could be recorded.
        """
        kept = False
        try:
            self._session.enter(self)
            kept = await self._run()
        except (NotTransferred, Refusal):
            pass  # the run has the reason
        finally:
            self._session.leave(self)
            self._session.close("done")
            if not kept:
                # Not awaited, because the task may be canceled. The sweep deletes it if this fails.
                self._parts.reports.send(self._session, drop_file, file_id=self._file.id, plain={})

    async def _run(self) -> bool:
        """Transfer, and return whether the page now has the file."""
        decision = decide(self._session.use.compiled, self._claimed.line)
        if not isinstance(decision, Allowed) or decision.transfer is None:
            await self._transfers.attempt(self._claimed.line, decision).finished()
            return False
        key = await self._parts.database.run(key_of_file, file_id=self._file.id)
        if decision.transfer.direction == "put":
            await self._put(decision.transfer, Receiver(key))
            return False
        if decision.transfer.direction == "get":
            return await self._get(decision.transfer, Sender(key))
        await self._list(decision.transfer, Sender(key))
        return True

    async def _begun(
        self, begin: Callable[[str, Callable[[], None]], Awaitable[Handle]], path: str
    ) -> Handle:
        give_back = SLOTS.take(self._session.use.grant_id)
        try:
            return await begin(path, give_back)
        except BaseException:
            give_back()
            raise

    async def _get(self, transfer: Transfer, sender: Sender) -> bool:
        download = await self._begun(self._transfers.download, transfer.path)
        try:
            at, size, digest = 0, download.about().size or 0, hashlib.sha256()
            if size > settings.PAGE_FILE_BYTES:
                await download.drop(TOO_LARGE.format(most=most_on_page()))
                return False
            while at < size:
                part = await download.read(at, PIECE)
                if not part:
                    return False
                at += len(part)
                digest.update(part)
                await self._keep(sender.seal(part))
            await download.close()
            await self._keep(sender.seal(b""), size=size, sha256=digest.hexdigest())
            return True
        finally:
            await download.drop("the page can't keep the file")

    async def _list(self, transfer: Transfer, sender: Sender) -> None:
        found = await self._transfers.listed(transfer.path)
        entries = packed((one.name, stat.S_ISDIR(one.mode), one.size, one.time) for one in found)
        for start in range(0, len(entries), PIECE):
            await self._keep(sender.seal(entries[start : start + PIECE]))
        digest = hashlib.sha256(entries).hexdigest()
        await self._keep(sender.seal(b""), size=len(entries), sha256=digest)

    async def _put(self, transfer: Transfer, receiver: Receiver) -> None:
        upload = await self._begun(self._transfers.upload, transfer.path)
        try:
            at = number = 0
            while piece := opened(receiver, await self._piece(number)):
                number += 1
                for start in range(0, len(piece), _PART):
                    part = piece[start : start + _PART]
                    await upload.write(at, part)
                    at += len(part)
            # What waits for approval waits only here.
            await self._parts.database.run(drop_file, file_id=self._file.id)
            await upload.close()
        finally:
            await upload.drop("the upload was interrupted")

    async def _piece(self, number: int) -> bytes:
        now = self._parts.clock.now()
        return await self._parts.database.run(piece_of, file_id=self._file.id, number=number, now=now)

    async def _keep(self, sealed: bytes, *, size: int = 0, sha256: str = "") -> None:
        number, self._numbers = self._numbers, self._numbers + 1
        await self._parts.database.run(
            keep_piece,
            file_id=self._file.id,
            number=number,
            sealed=sealed,
            size=size,
            sha256=sha256,
            now=self._parts.clock.now(),
        )
        # Other tasks run after each piece, so that bandwidth is shared evenly.
        await asyncio.sleep(0)

    # The ``User`` interface of its session.

    def tell(self, text: str) -> None:
        """Do nothing: the page shows the run's state from the database, and has its own countdown."""

    def stop(self, reason: str) -> None:
        """Cut the transfer immediately."""
        self._transfers.stop(reason)
