"""What a command leaves in a container is dead at its end, whoever is killed: real shells and real
processes.
"""

import asyncio
import contextlib
import math
import os
import secrets
import shutil
import signal
import ssl
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from urllib.parse import urlencode

import aiohttp
import pytest

from sessions_app.connectors.base import ConnectorError
from sessions_app.connectors.kubernetes.guard import CannotGuard, guarded, sweep_pod
from sessions_app.connectors.kubernetes.left_in_pods import (
    HEARTBEAT,
    guard_argv,
    hundredths,
    parse_left,
    parse_ready,
)
from sessions_app.connectors.kubernetes.remote import STDERR, STDOUT, V5, Container, Exec, Server, exec_in
from sessions_app.connectors.kubernetes.wrapper import NOT_STARTED, wrapped
from sessions_app.connectors.marks import GRANT_MARK, CannotWrap, Mark, run_mark
from tests.support.pace import allow
from tests.support.servers.kubernetes.cluster import eventually, in_process
from tests.support.servers.kubernetes.server import ApiServer
from tests.support.waits import PATIENCE

pytestmark = pytest.mark.timing

# An image with all programs, and images with sh and sleep alone.
SHELLS = ("dash", "busybox", "bash")
FORKER = "import os, time\nend = time.time() + 60\nwhile time.time() < end:\n    if os.fork(): os._exit(0)\n"
SUBREAPER = f"""\
import ctypes, os, time
ctypes.CDLL(None).prctl(36, 1)
if not os.fork():
{textwrap.indent(FORKER, "    ")}
time.sleep(60)
"""
# On a terminal, its session lasts as long as the shell above it does.
LASTING = f"""\
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
import os
os.kill(os.getppid(), signal.SIGSTOP)
{FORKER}"""
LEAVER = "sleep 1001 & setsid -f sleep 1002; (setsid sh -c 'cd /; exec sleep 1003' &); exec sleep 1004"


@pytest.fixture(scope="module")
def cluster(processes, tmp_path_factory):
    with ApiServer(tmp_path_factory.mktemp("left"), cache_seconds=0.0) as server:
        made = in_process(server)
        made.call("POST", "/api/v1/namespaces", {"metadata": {"name": "web"}})
        yield made


@pytest.fixture(params=["all", *SHELLS])
def pod(cluster, request):
    yield from _pod(cluster, request.param)


@pytest.fixture
def full(cluster):
    yield from _pod(cluster, "all")


def _pod(cluster, shell):
    image = "shop" if shell == "all" else "distroless"
    body = {"metadata": {"name": "app"}, "spec": {"containers": [{"name": "app", "image": f"{image}:1"}]}}
    cluster.call("POST", "/api/v1/namespaces/web/pods", body)
    made = Pod(cluster)
    if shell != "all":
        made.give("sh", shell)
        # Images with busybox have nothing else.
        made.give("sleep", "busybox" if shell == "busybox" else "sleep")
    yield made
    cluster.call("DELETE", "/api/v1/namespaces/web/pods/app")


class Pod:
    """A container, and a grant on it."""

    def __init__(self, cluster) -> None:
        self.container = cluster.server.kubelet.container("web", "app")
        self.place = Container("web", "app", "app")
        self.server = Server(f"https://{cluster.address}:{cluster.port}", cluster.token, cluster.context)
        self.grant = secrets.token_hex(16)
        self.run = run_mark(self.grant, 7)

    def give(self, name: str, program: str) -> None:
        folder = self.container.folder / "bin"
        folder.mkdir(exist_ok=True)
        found = shutil.which(program)
        assert found, f"{program} is not installed: `.ci/bootstrap test` installs it"
        (folder / name).symlink_to(found)

    def words(self, guard: int, *argv: str, seconds: float = 60) -> list[str]:
        return wrapped(argv, grant_mark=self.grant, run_id=7, seconds=seconds, guard=guard)

    def running(self) -> list[int]:
        """What runs in the container, and is not stopped."""
        return [pid for pid in self.container.processes() if not _is_stopped(pid)]

    def commands(self) -> list[str]:
        """What runs in the container, but for shells that watch."""
        texts = []
        for pid in self.container.processes():
            with contextlib.suppress(OSError):
                texts.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        return sorted(text for text in texts if text.startswith("sleep 100"))


def _is_stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tT" in Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return False


def played(scene):
    """What a scene returns that is played with a session of aiohttp."""

    async def play():
        async with aiohttp.ClientSession() as session, asyncio.timeout(allow(60)):
            return await scene(session)

    return asyncio.run(play())


async def run(session, pod: Pod, words: list[str], stdin: bytes = b"") -> tuple[int | None, bytes, bytes]:
    """The exit status, output and errors of a program; its input ends after what is given."""
    said = {STDOUT: b"", STDERR: b""}
    async with exec_in(session, pod.server, pod.place, words, stdin=True) as stream:
        if stdin:
            await stream.send(stdin)
        await stream.socket.send_bytes(bytes([255, 0]))
        async for channel, data in stream.output():
            said[channel] += data
    return stream.exit_code, said[STDOUT], said[STDERR]


def once(pod: Pod, *argv: str, stdin: bytes = b"", seconds: float = 60):
    """How one command ends below its wrapper and beside its guard."""

    async def scene(session):
        async with guarded(session, pod.server, pod.place, pod.run, seconds=60) as guard:
            done = await run(session, pod, pod.words(guard.pid, *argv, seconds=seconds), stdin)
            return done, await guard.end()

    return played(scene)


async def still(condition, seconds: float = 5.0) -> bool:
    """Whether a condition comes true, without holding the loop up."""
    return await asyncio.to_thread(eventually, condition, seconds)


def test_input_output_and_status_are_those_of_the_command(pod):
    text = os.urandom(300_000)
    done, left = once(pod, "/bin/cat", stdin=text)
    assert done == (0, text, b"")
    assert left.found == left.left == 0
    assert once(pod, "sh", "-c", "echo out; echo err >&2; exit 7")[0] == (7, b"out\n", b"err\n")
    assert eventually(lambda: pod.container.processes() == [], 0.8)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGINT])
def test_a_signal_counts_as_128_and_its_number_and_nothing_is_said_of_it(pod, number):
    assert once(pod, "sh", "-c", f"kill -{number.value} $$")[0] == (128 + number, b"", b"")


def test_words_reach_the_program_as_they_are(full):
    words = ["a b", "", "*", "'", '"', "$HOME", "ä", "--", "-x", "\\t", "a\nb"]
    assert once(full, "printf", "%s|", *words)[0][1].decode() == "|".join(words) + "|"


def test_a_program_runs_and_no_builtin_of_its_name(full):
    assert once(full, "echo", "a\\tb")[0] == (0, b"a\\tb\n", b"")
    code, _, errors = once(full, "export", "A=1")[0]
    assert (code, b"not found" in errors) == (127, True)


def test_a_command_bears_both_marks_and_ignores_no_signal(full):
    (_, out, _), _ = once(full, "sh", "-c", "env | grep STINT_; grep SigIgn /proc/self/status")
    assert set(out.decode().splitlines()) == {
        f"STINT_GRANT={full.grant}",
        str(full.run),
        "SigIgn:\t0000000000000000",
    }


def test_the_end_terminates_all_that_a_command_started(full):
    async def scene(session):
        async with guarded(session, full.server, full.place, full.run, seconds=60) as guard:
            async with exec_in(
                session, full.server, full.place, full.words(guard.pid, "sh", "-c", LEAVER)
            ) as stream:
                assert await still(lambda: len(full.commands()) == 4)
                began = time.monotonic()
                left = await guard.end()
                took = time.monotonic() - began
                assert full.commands() == []
                async for _ in stream.output():
                    pass
                return left, took, stream.exit_code

    left, took, code = played(scene)
    assert (left.found, left.left, code) == (4, 0, 143)
    assert took < allow(4)
    assert eventually(lambda: full.container.processes() == [])


def test_what_a_command_left_behind_is_terminated_though_the_command_is_over(full):
    (code, _, _), left = once(full, "sh", "-c", "setsid -f sleep 1005 >/dev/null 2>&1 </dev/null")
    assert (code, left.found, full.commands()) == (0, 1, [])


def test_the_end_of_one_command_leaves_those_of_others(full):
    other = run_mark(full.grant, 70)

    async def scene(session):
        async with guarded(session, full.server, full.place, other, seconds=60) as guard:
            words = wrapped(["sleep", "1006"], grant_mark=full.grant, run_id=70, seconds=60, guard=guard.pid)
            async with exec_in(session, full.server, full.place, words):
                assert await still(lambda: full.commands() == ["sleep 1006"])
                first = await sweep_pod(session, full.server, full.place, full.run)
                kept = full.commands()
                return (
                    first,
                    kept,
                    await sweep_pod(session, full.server, full.place, Mark(GRANT_MARK, full.grant)),
                )

    first, kept, last = played(scene)
    assert (first.found, kept) == (0, ["sleep 1006"])
    assert (last.found, last.left, full.commands()) == (1, 0, [])


@contextlib.asynccontextmanager
async def on_terminal(session, pod: Pod, words: list[str]):
    """A program on a terminal of its own, which takes what is typed."""
    query = [
        ("tty", "true"),
        ("stdin", "true"),
        ("stdout", "true"),
        ("container", "app"),
        *(("command", word) for word in words),
    ]
    async with session.ws_connect(
        f"{pod.server.url}/api/v1/namespaces/web/pods/app/exec?{urlencode(query)}",
        protocols=[V5],
        ssl=pod.server.context,
        headers={"Authorization": f"Bearer {pod.server.token}"},
    ) as opened:
        yield Exec(opened)


CATCHER = """\
import os, signal, time
signal.signal(signal.SIGINT, lambda *_: os.write(1, b"caught"))
os.write(1, b"began")
time.sleep(1)
raise SystemExit(7)
"""


def test_on_a_terminal_an_interrupt_is_the_commands_own_to_handle(pod):
    async def scene(session):
        async with guarded(session, pod.server, pod.place, pod.run, seconds=60) as guard:
            words = pod.words(guard.pid, sys.executable, "-c", CATCHER)
            async with on_terminal(session, pod, words) as stream:
                said = b""
                async for _, data in stream.output():
                    if b"began" in data:
                        await stream.send(b"\x03")
                    said += data
                return said, stream.exit_code, await guard.end()

    said, code, left = played(scene)
    assert (b"caught" in said, code, left.found) == (True, 7, 0), said
    assert eventually(lambda: pod.container.processes() == [])


@pytest.mark.parametrize("start", [exec_in, on_terminal])
@pytest.mark.parametrize(
    "program", [FORKER, SUBREAPER, LASTING], ids=["forker", "below a subreaper", "below a stopped shell"]
)
def test_a_process_that_forks_without_a_pause_is_caught(full, program, start):
    began = full.container.folder / "began"
    program = f"open({str(began)!r}, 'w').close()\n{program}"
    where = (full.server, full.place) if start is exec_in else (full,)

    async def scene(session):
        async with guarded(session, full.server, full.place, full.run, seconds=60) as guard:
            async with start(session, *where, full.words(guard.pid, sys.executable, "-c", program)):
                assert await still(began.exists)
                return await guard.end()

    left = played(scene)
    assert left.gone, left
    assert eventually(lambda: not any(full.running() for _ in range(20)))


GATEWAY = """
import asyncio, sys, aiohttp, ssl
from sessions_app.connectors.kubernetes.guard import guarded
from sessions_app.connectors.kubernetes.remote import Container, Server, exec_in
from sessions_app.connectors.kubernetes.wrapper import wrapped
from sessions_app.connectors.marks import run_mark
url, token, ca, grant, *argv = sys.argv[1:]
async def main():
    server, place = Server(url, token, ssl.create_default_context(cadata=ca)), Container("web", "app", "app")
    async with aiohttp.ClientSession() as session:
        async with guarded(session, server, place, run_mark(grant, 7), seconds=60) as guard:
            words = wrapped(argv, grant_mark=grant, run_id=7, seconds=60, guard=guard.pid)
            async with exec_in(session, server, place, words) as stream:
                async for _ in stream.output():
                    pass
asyncio.run(main())
"""


def test_a_gateway_that_is_killed_takes_the_command_along(cluster, full):
    words = [
        sys.executable,
        "-c",
        GATEWAY,
        full.server.url,
        full.server.token,
        cluster.ca,
        full.grant,
        "sh",
        "-c",
        LEAVER,
    ]
    with subprocess.Popen(words) as gateway:
        assert eventually(lambda: len(full.commands()) == 4, 10)
        gateway.kill()
        assert eventually(lambda: full.commands() == [])
    assert eventually(lambda: full.container.processes() == [])


def test_an_api_server_that_breaks_off_takes_the_command_along(cluster, full):
    async def scene(session):
        async with guarded(session, full.server, full.place, full.run, seconds=60) as guard:
            async with exec_in(session, full.server, full.place, full.words(guard.pid, "sh", "-c", LEAVER)):
                assert await still(lambda: len(full.commands()) == 4)
                cluster.server.cut()
                await guard.lost()
                return await still(lambda: full.commands() == [])

    assert played(scene)


def quiet(pod: Pod, seconds: int, silent: int) -> list[str]:
    """A guard that waits for less than the usual silence."""
    return [*guard_argv(pod.run, seconds=seconds)[:-1], hundredths(silent)]


async def below(session, pod: Pod, words: list[str], heartbeats: int = 0) -> float:
    """How many seconds a command lived below a guard that was not ended, from before the guard was
    started.
    """
    began = time.monotonic()
    async with exec_in(session, pod.server, pod.place, words, stdin=True) as stream:
        pid = parse_ready((await anext(stream.output()))[1].decode())
        command = asyncio.create_task(run(session, pod, pod.words(pid, "sleep", "1007")))
        for _ in range(heartbeats):
            await asyncio.sleep(0.5)
            await stream.send(HEARTBEAT)
        await command
        return time.monotonic() - began


def test_a_silent_gateway_ends_the_command(pod):
    assert 1 < played(lambda session: below(session, pod, quiet(pod, 60, 2))) < allow(6)


def test_a_gateway_that_is_heard_does_not(pod):
    # On a busy machine, a heartbeat may come late.
    silent = math.ceil(min(allow(2), 5))
    words = quiet(pod, 60, silent)
    lived = played(lambda session: below(session, pod, words, heartbeats=4 * silent))
    assert 3 * silent - 1 < lived < allow(3 * silent + 4)


def test_the_guards_own_deadline_ends_the_command_however_loud_the_gateway_is(pod):
    assert 1 < played(lambda session: below(session, pod, quiet(pod, 2, 60), heartbeats=3)) < allow(6)


def test_the_wrappers_own_deadline_ends_the_command(pod):
    began = time.monotonic()
    (code, _, _), _ = once(pod, "sh", "-c", "sleep 1008; exit 0", seconds=1)
    assert code in (143, 137)
    assert time.monotonic() - began < allow(8)
    assert eventually(lambda: pod.container.processes() == [], 0.8)


@pytest.mark.parametrize("of", ["the command", "its guard"])
def test_no_deadline_comes_early_however_often_the_time_is_looked_at(tmp_path, of):
    nap = tmp_path / "sleep"
    nap.write_text("#!/bin/sh\nexec /bin/sleep 0.1\n", encoding="utf-8")
    nap.chmod(0o755)
    grant = secrets.token_hex(16)
    words = {
        "the command": wrapped(
            ["/bin/sleep", "60"], grant_mark=grant, run_id=7, seconds=2, guard=os.getpid()
        ),
        "its guard": guard_argv(run_mark(grant, 7), seconds=2),
    }[of]
    # Just before the clock's next full second.
    uptime = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    time.sleep((0.8 - uptime) % 1)
    began = time.monotonic()
    with subprocess.Popen(
        words, env={"PATH": f"{tmp_path}:/usr/bin:/bin"}, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        process.wait(PATIENCE)
    assert time.monotonic() - began >= 2


def test_a_command_whose_guard_is_killed_ends(pod):
    async def scene(session):
        async with guarded(session, pod.server, pod.place, pod.run, seconds=60) as guard:
            command = asyncio.create_task(run(session, pod, pod.words(guard.pid, "sleep", "1009")))
            assert await still(lambda: pod.commands() == ["sleep 1009"])
            os.kill(guard.pid, signal.SIGKILL)
            return (await asyncio.wait_for(command, allow(10)))[0], await guard.end()

    code, left = played(scene)
    assert (code, left) == (143, None)
    assert eventually(lambda: pod.container.processes() == [])


def test_what_ignores_term_is_killed(full):
    async def scene(session):
        async with guarded(session, full.server, full.place, full.run, seconds=60) as guard:
            words = full.words(guard.pid, "sh", "-c", "trap '' TERM; echo on; while :; do sleep 1010; done")
            async with exec_in(session, full.server, full.place, words) as stream:
                assert await anext(stream.output()) == (STDOUT, b"on\n")
                await guard.end()
                async for _ in stream.output():
                    pass
                return stream.exit_code

    assert played(scene) == 137
    assert eventually(lambda: full.container.processes() == [])


def test_nothing_starts_without_a_guard(pod):
    with subprocess.Popen(["true"]) as gone:
        gone.wait()
    done = played(lambda session: run(session, pod, pod.words(gone.pid, "sh", "-c", "echo started")))
    assert done == (NOT_STARTED, b"", b"")


def test_an_image_without_a_shell_can_not_be_watched(cluster):
    for pod in _pod(cluster, "all"):
        pod.container.spec["image"] = "distroless:1"
        with pytest.raises(
            CannotGuard, match="needs sh, sleep and /proc. The guard's output: .*executable file not found"
        ) as error:
            played(lambda session, pod=pod: sweep_pod(session, pod.server, pod.place, pod.run))
        assert error.value.permanent


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts processes of another account")
def test_a_process_that_can_not_be_read_is_counted_if_it_is_new(full):
    pipe = subprocess.PIPE
    with subprocess.Popen(
        guard_argv(full.run, seconds=60),
        user=65534,
        group=65534,
        extra_groups=[],
        stdin=pipe,
        stdout=pipe,
        cwd="/",
    ) as guard:
        assert parse_ready(guard.stdout.readline().decode())
        with subprocess.Popen(["sleep", "1011"]) as other:
            guard.stdin.close()
            left = parse_left(guard.stdout.readline().decode())
            other.kill()
    assert left.unread >= 1
    assert not left.gone


def test_other_words_than_a_guards_are_not_taken_for_its():
    assert parse_ready("ready x\n") is parse_ready("ready 1\nready 2\n") is parse_ready("ready 1") is None
    assert parse_left("found=1 left=0\n") is parse_left("") is None


@pytest.mark.parametrize(
    ("argv", "seconds"), [([], 1), ([""], 1), (["-x"], 1), (["ls"], 0), (["ls"], -1), (["ls"], float("inf"))]
)
def test_nothing_is_wrapped_that_can_not_run(argv, seconds):
    with pytest.raises(CannotWrap):
        wrapped(argv, grant_mark="a" * 32, run_id=1, seconds=seconds, guard=1)


@pytest.mark.parametrize(
    ("change", "message", "permanent"),
    [
        ({"token": "none"}, r"refused exec in app \(401\)", True),
        ({"url": "https://127.0.0.1:1"}, "did not respond to exec in app", False),
        ({"context": ssl.create_default_context()}, "ClientConnectorCertificateError", False),
    ],
)
def test_an_api_server_that_refuses_or_is_away_is_told(full, change, message, permanent):
    known = {"url": full.server.url, "token": full.server.token, "context": full.server.context}
    full.server = Server(**{**known, **change})
    with pytest.raises(ConnectorError, match=message) as error:
        played(lambda session: sweep_pod(session, full.server, full.place, full.run))
    assert error.value.permanent is permanent
