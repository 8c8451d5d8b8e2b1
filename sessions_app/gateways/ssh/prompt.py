"""The command prompt, which decides, records and runs each line separately. It is not a shell."""

from __future__ import annotations

import asyncio
import codecs

import asyncssh

from broker.kernel.errors import StintError
from sessions_app.gateways.core.registry import OpenSession
from sessions_app.gateways.ssh.commands import CommandExecution
from sessions_app.gateways.ssh.parts import ExecutionResult, Parts
from sessions_app.gateways.ssh.relay import CommandIO, Feed
from sessions_app.operations.sessions.proofs.holder import Use
from sessions_app.policy.commands.answers import CommandView
from sessions_app.policy.commands.ssh.decide import decide, describe

LEAVING = frozenset({"exit", "quit", "logout"})
LONGEST_LINE = 4096


class Prompt:
    """Reads lines from the channel's line editor. Commands here get no input."""

    def __init__(
        self,
        parts: Parts,
        session: OpenSession[Use],
        raw: asyncssh.SSHServerChannel[bytes],
        editor: asyncssh.SSHServerChannel[str],
        channel: CommandIO,
    ) -> None:
        self._parts = parts
        self._session = session
        self._raw = raw
        self._editor = editor
        self._channel = channel
        self._lines: asyncio.Queue[str | None] = asyncio.Queue()
        self._at_start = True
        self._left = False
        self._decoders = {error: codecs.getincrementaldecoder("utf-8")("replace") for error in (False, True)}
        self.command: CommandExecution | None = None

    # Events from the channel.

    def line(self, text: str) -> None:
        """Queue an entered line.

        Drop lines that are typed while a command runs, because the holder would not see what they run on.
        """
        if self.command is None:
            self._lines.put_nowait(text)

    def leave(self) -> None:
        """End the prompt, but let a running command finish first."""
        self._left = True
        self._lines.put_nowait(None)

    def interrupt(self, reason: str) -> None:
        """Cut the running command, or begin a new line."""
        if self.command is not None:
            self.command.stop(reason)
        else:
            self._editor.clear_input()  # type: ignore[attr-defined]  # of the editor's wrapper
            self._write("^C\n")
            self._ask()

    def cut(self, reason: str) -> None:
        """Cut the running command."""
        if self.command is not None:
            self.command.stop(reason)

    # Output of a command.

    def output(self, data: bytes, *, error: bool) -> None:
        text = self._decoders[error].decode(data).replace("\n", "\r\n")
        if text and not self._raw.is_closing():
            # Bypass the editor, which would measure every character of a large output.
            self._at_start = text.endswith("\n")
            self._raw.write(text)  # type: ignore[arg-type]  # this channel is encoded

    def note(self, text: str) -> None:
        """Show a message from Stint above the line being typed."""
        self._write(f"{'' if self._at_start else chr(10)}stint: {text}\n")
        if self.command is None and not self._left:
            self._ask()

    def attach(self, feed: Feed | None) -> None:
        self._channel.attach(feed)
        if feed is not None:
            feed.eof()

    def pause_input(self) -> None:
        """Do nothing: no input is sent."""

    def resume_input(self) -> None:
        """Do nothing: no input is sent."""

    async def run(self) -> None:
        """Read and run lines until the holder leaves or the grant ends."""
        use = self._session.use
        self._write(
            f"{use.grant_ref} on {use.target.name}, {_left(self._seconds())} left. `help` lists what is"
            " allowed.\n"
        )
        self._ask()
        while not self._left:
            text = await self._lines.get()
            if text is None or self._left:
                break
            self._at_start = True
            line = text.strip()
            if len(text) > LONGEST_LINE:
                self.note(f"The line is longer than {LONGEST_LINE} characters. Nothing was run.")
                continue
            if line in LEAVING:
                break
            if line == "help":
                self._write(self._help())
            elif line:
                await self._try(line)
            if not self._left:
                self._ask()
        self._left = True

    async def _try(self, line: str) -> None:
        decision = decide(self._session.use.compiled, line)
        self.command = CommandExecution(self._parts, self._session, line, decision, self)
        self._editor.set_echo(False)  # type: ignore[attr-defined]  # of the editor's wrapper
        try:
            self._say(await self.command.run())
        except StintError as error:
            self.note(str(error))
        finally:
            self.command = None
            if not self._raw.is_closing():
                self._editor.set_echo(True)  # type: ignore[attr-defined]  # of the editor's wrapper

    def _say(self, outcome: ExecutionResult) -> None:
        if not self._at_start:
            self._write("\n")
        if outcome.state == "refused":
            self._write(f"not allowed: {outcome.message}\n")
        elif outcome.state in ("cut", "failed"):
            self._write(f"{outcome.state}: {outcome.message}\n")
        elif outcome.signal or outcome.exit_status:
            how = f"signal {outcome.signal}" if outcome.signal else f"exit status {outcome.exit_status}"
            self._write(f"({how})\n")

    def _ask(self) -> None:
        use = self._session.use
        self._write(f"{use.grant_ref} {use.target.name} {_left(self._seconds())}> ")
        self._at_start = True

    def _help(self) -> str:
        views = describe(self._session.use.compiled)
        rows = [line for view in views for line in _describe(view)]
        return "\n".join(["You can run:", *rows, "  help, exit", ""])

    def _seconds(self) -> float:
        return self._parts.clock.until(self._session.grant.expires_at)

    def _write(self, text: str) -> None:
        if not self._raw.is_closing():
            self._editor.write(text)


def _describe(view: CommandView) -> list[str]:
    marks: list[str] = [view.effect, *(["as root"] if view.as_root else [])]
    if view.hold:
        marks.append("needs approval for each run")
    if view.finish_seconds:
        marks.append(f"may finish up to {_left(view.finish_seconds)} after the end")
    free = [f"      {{{value.name}}}: {value.limits}" for value in view.free]
    return [f"  {view.text}    ({', '.join(marks)})", *free]


def _left(seconds: float) -> str:
    """Format the time left briefly: `2h 5m`, `12m`, `40s`."""
    whole = max(0, int(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}h {minutes}m"
    return f"{minutes}m" if whole >= 60 else f"{whole}s"  # seconds in a minute
