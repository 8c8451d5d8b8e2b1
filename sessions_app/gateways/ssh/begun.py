"""The transfers that one client of a session begins, each decided and recorded first."""

from __future__ import annotations

from collections.abc import Callable

from sessions_app.connectors.ssh.files import Entry
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.ssh import sftp_packets as wire
from sessions_app.gateways.ssh.open_files import Download, Handle, Refusal, Upload, Waiting
from sessions_app.gateways.ssh.parts import Parts
from sessions_app.gateways.ssh.slots import SLOTS
from sessions_app.gateways.ssh.transfers import FileTransfer
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.ssh import tree
from sessions_app.policy.commands.ssh.decide import Allowed, decide
from sessions_app.policy.commands.ssh.file_rules import Direction
from sessions_app.policy.commands.ssh.transfers import Facts


class Transfers:
    """The transfers of one client. ``stop`` may be called at any time.

    Methods that begin a transfer raise NotTransferred, Refusal and StintError.
    """

    def __init__(
        self,
        parts: Parts,
        session: OpenSession[Use],
        note: Callable[[str], None],
        *,
        order_id: int | None = None,
    ) -> None:
        """``note`` shows the client a line from Stint. ``order_id`` is the order from a page that the
        transfer carries out.
        """
        self._parts, self._session, self._note, self._order_id = parts, session, note, order_id
        self._running: set[FileTransfer] = set()
        self.stopped = ""

    def stop(self, reason: str) -> None:
        """Cut every transfer, and begin no more."""
        self.stopped = self.stopped or reason
        for transfer in self._running:
            transfer.stop(reason)

    async def listed(self, path: str) -> list[Entry]:
        """Return the entries of a folder whose names can be shown."""
        with SLOTS.taken(self._session.use.grant_id):
            transfer = self.start("list", path)
            await transfer.opened()
            return [entry for entry in await transfer.entries() if tree.is_shown(entry.name)]

    async def download(self, path: str, give_back: Callable[[], None]) -> Download:
        """Begin a download. ``give_back`` is called at its end."""
        return await Download(self.start("get", path), give_back).opened()

    async def upload(self, path: str, give_back: Callable[[], None]) -> Handle:
        """Begin an upload. ``give_back`` is called at its end."""
        decision = decide(self._session.use.compiled, tree.line_for("put", path))
        if isinstance(decision, Allowed) and decision.transfer is not None and tree.must_wait(decision):
            # The decision includes the size and digest, so the target gets nothing until the gateway has the
            # whole file.
            folder = self._parts.recordings
            return Waiting(
                decision.transfer, give_back, folder, lambda *known: self.start("put", path, *known)
            )
        return await Upload(self.start("put", path), give_back).opened()

    def start(
        self, direction: Direction, path: str, facts: Facts | None = None, shown: str | None = None
    ) -> FileTransfer:
        """Begin a transfer, allowed or not. The transfer first records the decision."""
        if self.stopped:
            raise Refusal(wire.FAILURE, "")
        line = tree.line_for(direction, path, (facts or Facts()).words())
        return self.attempt(line, decide(self._session.use.compiled, line), shown=shown)

    def attempt(
        self, line: str, decision: answers.Allowed | answers.Refused, *, shown: str | None = None
    ) -> FileTransfer:
        """Begin the transfer of a line with its decision."""
        transfer = FileTransfer(
            self._parts, self._session, line, decision, self._note, shown=shown, order_id=self._order_id
        )
        self._running.add(transfer)
        transfer.task.add_done_callback(lambda _: self._running.discard(transfer))
        return transfer
