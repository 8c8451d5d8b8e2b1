"""Run one transfer. A transfer is like a command, but its words are Stint's helper on the target, and its
output is a file.

Recordings contain no part of the file. The record has the path, the size and the SHA-256 of the transferred
content.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import structlog

from broker.audit.record import Json
from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.ssh.connector import clean_target
from sessions_app.connectors.ssh.files import (
    HELPER_SCRIPT,
    WHY,
    Entry,
    Helper,
    Said,
    helper_of,
    leftovers,
    parse_entries,
    parse_said,
)
from sessions_app.connectors.ssh.wrapper import force_command
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.ssh.commands import CommandExecution
from sessions_app.gateways.ssh.digest import Digest
from sessions_app.gateways.ssh.parts import ExecutionResult, Parts
from sessions_app.gateways.ssh.relay import Feed, TargetSession
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.operations.sessions.try_command import Tried
from sessions_app.policy.commands import answers
from sessions_app.policy.commands.ssh.decide import Allowed
from sessions_app.policy.commands.ssh.transfers import Transfer

log = structlog.get_logger(__name__)

# Bytes from the target that wait for the client. The target is paused above the first number, and resumed
# below the second.
_FULL, _RESUMED = 1024 * 1024, 256 * 1024
# Maximum bytes of the helper's first line, of its error output, and of a listing.
_LINE, _COMPLAINT, _LISTING = 200, 300, 8 * 1024 * 1024

# Tasks that remove unfinished uploads.
_CLEANING: set[asyncio.Task[None]] = set()


class NotTransferred(Exception):
    """A transfer that failed.

    ``word`` is the helper's word, or `refused` or `cut`; the exception's text is a clause.
    """

    def __init__(self, word: str, why: str) -> None:
        super().__init__(why)
        self.word, self.why = word, why


class Stream:
    """The input and output of the helper.

    The first line of output is kept apart from the content that follows.
    """

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._feed: Feed | None = None
        # The chunks that have not been read yet, and their size in bytes.
        self._first, self._chunks, self._waiting = b"", deque[bytes | memoryview](), 0
        self._news, self._writable = asyncio.Event(), asyncio.Event()
        self._writable.set()
        self._paused = False
        self.said: Said | None = None
        self.over = False
        self.complaint = b""
        self.sha256, self.count = Digest(), 0

    # The input and output of a command.

    def output(self, data: bytes, *, error: bool) -> None:
        """Take the helper's output."""
        if error:
            self.complaint = (self.complaint + data)[:_COMPLAINT]
            return
        if self.said is None:
            line, ended, data = (self._first + data).partition(b"\n")
            self._first = line[:_LINE]
            if not ended:
                return
            self.said = parse_said(line) or Said("unusable")
        self.count += len(data)
        self.sha256.update(data)
        self._chunks.append(data)
        self._waiting += len(data)
        if self._waiting > _FULL and self._feed is not None and not self._paused:
            self._paused = True
            self._feed.pause()
        self._news.set()

    def note(self, text: str) -> None:
        self._note(text)

    def attach(self, feed: Feed | None) -> None:
        self._feed = feed
        if feed is None:
            self.close()

    def pause_input(self) -> None:
        self._writable.clear()

    def resume_input(self) -> None:
        self._writable.set()

    # The gateway's side.

    def close(self) -> None:
        """Handle the end of the helper, after which no more output arrives."""
        self.over = True
        self._news.set()
        self._writable.set()

    async def answered(self) -> None:
        """Wait until the helper has printed its first line, or has ended."""
        while self.said is None and not self.over:
            await self._more()

    async def read(self, count: int) -> bytes:
        """Return ``count`` bytes of the content; fewer only at its end."""
        while self._waiting < count and not self.over:
            await self._more()
        part = self._taken(count)
        if self._paused and self._waiting < _RESUMED and self._feed is not None:
            self._paused = False
            self._feed.resume()
        return part

    def _taken(self, count: int) -> bytes:
        taken: list[bytes | memoryview] = []
        while count and self._chunks:
            chunk = self._chunks.popleft()
            if len(chunk) > count:
                self._chunks.appendleft(memoryview(chunk)[count:])
                chunk = memoryview(chunk)[:count]
            taken.append(chunk)
            count -= len(chunk)
            self._waiting -= len(chunk)
        return b"".join(taken)

    async def all(self) -> bytes:
        """Return the whole content, or only the beginning of a listing that is too long."""
        found = bytearray()
        while len(found) < _LISTING and (part := await self.read(_RESUMED)):
            found += part
        return bytes(found)

    def so_far(self) -> bytes:
        """Return the content that has not been read yet."""
        return b"".join(self._chunks)

    async def write(self, data: bytes) -> None:
        """Send input, once the target can receive more."""
        await self._writable.wait()
        if self._feed is not None:
            self._feed.write(data)

    def eof(self) -> None:
        """Send the end of the input."""
        if self._feed is not None:
            self._feed.eof()

    async def _more(self) -> None:
        self._news.clear()
        await self._news.wait()


class FileTransfer(CommandExecution):
    """One transfer, from its decision to its end.

    Every wait raises NotTransferred once the transfer has failed.
    """

    carries_files = True

    def __init__(
        self,
        parts: Parts,
        session: OpenSession[Use],
        line: str,
        decision: answers.Allowed | answers.Refused,
        note: Callable[[str], None],
        *,
        shown: str | None = None,
        order_id: int | None = None,
    ) -> None:
        """``note`` shows the holder a line from Stint. ``shown`` is what approvers see of an upload.
        ``order_id`` is the order from a page that the transfer carries out.
        """
        self.shown = shown
        self.stream = Stream(note)
        super().__init__(parts, session, line, decision, self.stream, order_id=order_id)
        self._helper: Helper | None = None
        self._transfer: Transfer | None = decision.transfer if isinstance(decision, Allowed) else None
        self._sent, self._sent_sha256 = 0, Digest()
        # The word and clause of a failure that the gateway itself has found.
        self._fault: tuple[str, str] | None = None
        # The transfer's run in the record, from the decision to the report.
        self.task = asyncio.create_task(self.run())
        self.task.add_done_callback(lambda _: self.stream.close())

    @property
    def size(self) -> int:
        """The size of the downloaded file, as the target reported it at the start."""
        return self.stream.said.size if self.stream.said is not None else 0

    @property
    def path(self) -> str:
        """The path on the target."""
        return self._transfer.path if self._transfer is not None else ""

    @property
    def mode(self) -> int:
        """The permissions of an uploaded file."""
        return int(self._transfer.mode or "0", 8) if self._transfer is not None else 0

    @property
    def time(self) -> int:
        """The time of the downloaded file's last change."""
        return self.stream.said.time if self.stream.said is not None else 0

    async def opened(self) -> None:
        """Wait until the target has checked the path. Raises NotTransferred and StintError."""
        await self.stream.answered()
        if self.stream.said is None or self.stream.said.word != "ok":
            await self.finished()
        elif (
            self._transfer is not None
            and self._transfer.direction == "get"
            and self.size > self._transfer.most
        ):
            await self.end(WHY["large"])
            raise NotTransferred("large", WHY["large"])

    async def read(self, count: int) -> bytes:
        """Return ``count`` bytes of a download; fewer only at its end. Raises NotTransferred, StintError."""
        part = await self.stream.read(count)
        if len(part) < count and self.stream.count < self.size:
            await self.finished()
        return part

    async def entries(self) -> list[Entry]:
        """Return a listing. Raises NotTransferred and StintError."""
        records = await self.stream.all()
        if len(records) < _LISTING:
            await self.finished()
        else:
            await self.end("the target's listing is too long")
        found = parse_entries(records)
        if found is None:
            raise NotTransferred("unusable", "the target gave no usable response")
        if not found[1]:
            self.stream.note(f"The folder has more than {len(found[0])} entries; only these are listed.")
        return found[0]

    async def send(self, data: bytes) -> None:
        """Send a part of an upload. Raises NotTransferred and StintError."""
        if self._transfer is not None and self._sent + len(data) > self._transfer.most:
            self._fault = ("large", WHY["large"])
        if self._fault is not None or self.stream.over:
            self.stream.eof()
            await self.finished()
        self._sent += len(data)
        self._sent_sha256.update(data)
        await self.stream.write(data)

    async def publish(self) -> None:
        """End an upload after its last byte, so that the target gives the file its final name. Raises
        NotTransferred and StintError.
        """
        if self._helper is not None and self._fault is None:
            await self.stream.write(self._helper.commit(self._sent_sha256.hexdigest()))
        self.stream.eof()
        await self.finished()

    async def finished(self) -> None:
        """Wait for the end, and return only if everything was transferred.

        Raises NotTransferred, StintError.
        """
        outcome = await asyncio.shield(self.task)
        if outcome.state != "done":
            word = "refused" if outcome.state == "refused" else "cut"
            raise NotTransferred(word, outcome.message)
        if outcome.exit_status:
            raise NotTransferred(self._word(), outcome.message)

    async def end(self, reason: str) -> None:
        """Cut what is still running, and wait until it is reported."""
        if not self.task.done():
            self.stop(reason)
        await asyncio.gather(self.task, return_exceptions=True)

    # How a transfer differs from a command.

    async def _record(self, tried: Tried) -> Recorder | None:
        del tried
        return None  # a recording would contain the file's content

    def _forced(self, tried: Tried, decision: Allowed, seconds: float) -> str:
        if decision.transfer is None:
            raise AssertionError
        mark = self._use.mark
        self._transfer = decision.transfer
        self._helper = helper_of(decision.transfer, grant_mark=mark, run_id=tried.run_id)
        return force_command(
            self._helper.words,
            contain="group",
            account=self._use.target.account,
            grant_mark=mark,
            run_id=tried.run_id,
            seconds=seconds,
            script=HELPER_SCRIPT,
        )

    def _judge(self, target: TargetSession, tried: Tried) -> ExecutionResult:
        outcome = super()._judge(target, tried)
        if outcome.state != "done":
            return outcome
        word = self._word()
        if not word:
            return ExecutionResult(state="done", exit_status=0)
        return ExecutionResult(state="done", exit_status=1, message=self._why(word))

    def _word(self) -> str:
        """Return why the helper, which has ended, did not transfer everything; empty if it did."""
        if self._fault is not None:
            return self._fault[0]
        said = self.stream.said
        if said is None or said.word != "ok" or self._transfer is None:
            return said.word if said is not None else "unusable"
        if self._transfer.direction == "get":
            return "" if self.stream.count == said.size else "changed"
        if self._transfer.direction == "list":
            return "" if self.stream.count else "unusable"
        done = parse_said(self.stream.so_far().rstrip(b"\n"))
        if done is None or done.word != "done":
            return done.word if done is not None else "unusable"
        return "" if (done.size, done.sha256) == (self._sent, self._sent_sha256.hexdigest()) else "digest"

    def _why(self, word: str) -> str:
        if self._fault is not None:
            return self._fault[1]
        why = WHY.get(word, "the target gave no usable response")
        said = self.stream.complaint.decode(errors="replace").strip().partition("\n")[0]
        # This text from the target reaches the holder's terminal.
        complaint = "".join(char if char.isprintable() else "?" for char in said)
        return f"{why} ({complaint})" if complaint and word not in ("exists", "missing") else why

    def _broken(self, why: str) -> ExecutionResult:
        outcome = super()._broken(why)
        if outcome.state == "failed" or self._transfer is None or self._transfer.direction != "put":
            return outcome
        return ExecutionResult(state="cut", message=f"{why}; the file may have been written")

    def _exchanged(self) -> Mapping[str, Json] | None:
        if self._transfer is None or self._target is None or not self._target.opened:
            return None
        about: dict[str, Json] = {"direction": self._transfer.direction, "path": self._transfer.path}
        if self._transfer.direction == "list":
            return about
        down = self._transfer.direction == "get"
        if down:
            return {**about, "bytes": self.stream.count, "sha256": self.stream.sha256.hexdigest()}
        return {**about, "bytes": self._sent, "sha256": self._sent_sha256.hexdigest()}

    async def _sweep(self, tried: Tried) -> None:
        """Remove the files that an interrupted upload may have left.

        Nothing waits for this, because the grant's end repeats it.
        """
        if self._transfer is not None and self._transfer.direction == "put":
            cleaning = asyncio.create_task(self._clean(tried.run_id, self._transfer.path))
            _CLEANING.add(cleaning)
            cleaning.add_done_callback(_CLEANING.discard)
        await super()._sweep(tried)

    async def _clean(self, run_id: int, path: str) -> None:
        left = leftovers([(run_id, ["put", path])], self._use.mark)
        try:
            await clean_target(
                self._parts.dialer, self._use.place, f"{self._use.grant_ref} clean {run_id}", left
            )
        except ConnectorError as error:
            log.warning("upload.not_cleaned", run=run_id, error=error.message)
