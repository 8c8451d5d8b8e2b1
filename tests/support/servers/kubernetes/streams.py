"""exec, attach and port-forward over a WebSocket, from the API server's side.

Source: k8s.io/apimachinery `pkg/util/remotecommand` (channels, v4 and v5), k8s.io/kubelet `pkg/cri/streaming`
(what a stream's end means), k8s.io/kubectl `pkg/cmd/portforward` (SPDY in WebSocket).
"""

import contextlib
import json
import socket
import subprocess
import threading
from dataclasses import dataclass, field
from typing import IO

from tests.support.servers.kubernetes.kubelet import Container, Kubelet, copied
from tests.support.servers.kubernetes.spdy import FIN, PING, RST_STREAM, SYN_STREAM, Frame, Session
from tests.support.servers.kubernetes.store import Refusal
from tests.support.servers.kubernetes.wire import WebSocket

COMMANDS = ("v5.channel.k8s.io", "v4.channel.k8s.io")
PORTS = ("SPDY/3.1+portforward.k8s.io",)
PROTOCOLS = {"exec": COMMANDS, "attach": COMMANDS, "portforward": PORTS}
STDIN, STDOUT, STDERR, ERROR, _, CLOSE = 0, 1, 2, 3, 4, 255
_PIPE, _NULL = subprocess.PIPE, subprocess.DEVNULL


def on(query: dict[str, list[str]], key: str) -> bool:
    """Parse a query switch like Go: only absence, 0 and false are false (apimachinery,
    pkg/runtime/conversion.go).
    """
    return key in query and query[key][0] not in ("0", "false")


def exec_(web: WebSocket, container: Container, query: dict[str, list[str]]) -> None:
    """Run a program in a container; send its status on the error channel once all its output was read."""

    def asked(stream: str) -> int:
        return _PIPE if on(query, stream) else _NULL

    words = query.get("command", [])
    try:
        if on(query, "tty"):
            process, typed, shown = container.run_on_terminal(words)
            outputs = [(STDOUT, shown)]
        else:
            process = container.run(
                words, stdin=asked("stdin"), stdout=asked("stdout"), stderr=asked("stderr")
            )
            typed, outputs = process.stdin, [(STDOUT, process.stdout), (STDERR, process.stderr)]
    except Refusal as refusal:
        return _finish(web, refusal.status)
    copies = [copied(pipe, lambda part, to=to: web.send(bytes([to]) + part)) for to, pipe in outputs if pipe]

    def wait() -> None:
        for copy in copies:
            copy.join()
        _finish(web, _status(process.wait()))

    threading.Thread(target=wait, daemon=True).start()
    return _feed(web, typed)


def attach(web: WebSocket, container: Container, query: dict[str, list[str]]) -> None:
    """Relay the output of the container's own process from now on, and its input."""

    start = container.last_lines(0)

    def tell() -> None:
        with contextlib.suppress(OSError):
            for part in container.written(start, follow=True):
                if part and on(query, "stdout"):
                    web.send(bytes([STDOUT]) + part)
            _finish(web, _status(0))

    threading.Thread(target=tell, daemon=True).start()
    _feed(web, container.main.stdin if container.main and on(query, "stdin") else None)


def _feed(web: WebSocket, pipe: IO[bytes] | None) -> None:
    """Write incoming data to a process, and close its input when the client does, or disconnects."""
    for message in web.messages():
        if not message or pipe is None or pipe.closed:
            continue
        with contextlib.suppress(OSError):
            if message[0] == STDIN:
                pipe.write(message[1:])
                pipe.flush()
            elif message == bytes([CLOSE, STDIN]):
                pipe.close()
    if pipe is not None:
        with contextlib.suppress(OSError):
            pipe.close()


def _status(code: int) -> dict:
    """Return a process's exit as a Status. A signal counts as 128 + its number."""
    code = 128 - code if code < 0 else code
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {
        "metadata": {},
        "status": "Failure",
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
        "message": f"command terminated with non-zero exit code: exit status {code}",
    }


def _finish(web: WebSocket, status: dict) -> None:
    with contextlib.suppress(OSError):
        web.send(bytes([ERROR]) + json.dumps(status).encode())
    web.close()


@dataclass
class PortForward:
    """Connections to ports of a pod: each has a data stream, and an error stream that is opened before it."""

    web: WebSocket
    kubelet: Kubelet
    data: dict[int, socket.socket] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.session = Session(self.web.send)

    def serve(self) -> None:
        try:
            for frame in self.session.frames(self.web.messages()):
                self._act(frame)
        finally:
            for connection in list(self.data.values()):
                _shut(connection, socket.SHUT_RDWR)

    def _act(self, frame: Frame) -> None:
        if frame.kind == SYN_STREAM:
            self.session.reply(frame.stream)
            self._opened(frame)
        elif frame.kind == PING:
            self.session.pong(frame.data)
        elif frame.stream in self.data and frame.kind in (0, RST_STREAM):
            self._came(frame, self.data[frame.stream])

    def _opened(self, frame: Frame) -> None:
        request, port = frame.headers["requestid"], int(frame.headers["port"])
        if frame.headers["streamtype"] == "error":
            self.errors[request] = frame.stream
            return
        error = self.errors.pop(request)
        try:
            connection = socket.create_connection(
                ("127.0.0.1", self.kubelet.ports.get(port, port)), timeout=5
            )
        except OSError as failed:
            self.session.write(
                error, f"failed to connect to localhost:{port} inside namespace: {failed}".encode(), fin=True
            )
            self.session.write(frame.stream, fin=True)
            return
        connection.settimeout(None)
        self.data[frame.stream] = connection
        threading.Thread(target=self._answer, args=(frame.stream, error, connection), daemon=True).start()

    def _came(self, frame: Frame, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection.sendall(frame.data if frame.kind == 0 else b"")
        if frame.kind == RST_STREAM:
            _shut(connection, socket.SHUT_RDWR)
        elif frame.flags & FIN:
            _shut(connection, socket.SHUT_WR)

    def _answer(self, stream: int, error: int, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            while part := connection.recv(32768):
                self.session.write(stream, part)
            self.session.write(stream, fin=True)
            self.session.write(error, fin=True)
        self.data.pop(stream, None)


def _shut(connection: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(how)
