"""Features of SSH servers that this one refuses, requested by the real client and by a hostile one."""

import asyncio
import contextlib
import socket
import subprocess
import time
from pathlib import Path

import asyncssh
import pytest

from broker.audit.models import AuditEntry
from broker.demo.ports import free_port
from sessions_app.models import CommandRun
from tests.support.pace import allow
from tests.support.waits import eventually

pytestmark = pytest.mark.timing


@pytest.fixture
def grant(place):
    # In a coroutine, the database would be queried on a connection that nothing closes.
    place.key("alice")
    return place.grant()


def offered(place, key, *, username="web-1", **more):
    """Connect a client of our own, which can break any rule."""
    return asyncssh.connect(
        "127.0.0.1",
        place.port,
        username=username,
        client_keys=[key],
        known_hosts=None,
        config=None,
        agent_path=None,
        **more,
    )


def _agent_sockets() -> set[Path]:
    """Return the sockets that the library creates for forwarded agents."""
    return set(Path("/tmp").glob("asyncssh-*"))


def rss(place) -> int:
    """Return the resident memory of the gateway in kB."""
    status = Path(f"/proc/{place.gateway.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def test_there_is_no_shell(place, grant):
    done = place.ssh(stdin=b"id\n")
    assert done.returncode == 255
    assert b"No shell access" in done.stderr
    assert done.stdout == b""


def test_a_command_gets_no_terminal(place, grant):
    done = place.ssh("true", options=("-tt",))
    assert done.returncode == 255
    assert b"can't have a terminal" in done.stderr


@pytest.mark.parametrize("old", [[], ["-O"]])
def test_scp_copies_nothing(place, grant, tmp_path, old):
    local = tmp_path / "file"
    local.write_text("x")
    options = [word for word in place.command()[1:-1] if word != "-p"]
    options.remove(str(place.port))
    for pair in (
        [str(local), "web-1@127.0.0.1:/tmp/stint-copied"],
        ["web-1@127.0.0.1:/etc/hostname", str(tmp_path / "got")],
    ):
        done = subprocess.run(
            ["scp", "-P", str(place.port), *old, *options, *pair], capture_output=True, check=False
        )
        assert done.returncode != 0
    assert not Path("/tmp/stint-copied").exists()
    assert not (tmp_path / "got").exists()


def test_there_are_no_subsystems(place, grant):
    assert place.ssh("sftp", options=("-s",)).returncode != 0
    assert place.ssh("netconf", options=("-s",)).returncode != 0


def test_no_stream_is_forwarded_to_the_target_or_elsewhere(place, grant):
    port = place.targets["web-1"].port
    done = place.ssh(options=("-W", f"127.0.0.1:{port}"))
    assert done.returncode == 255
    assert b"SSH-" not in done.stdout


def _connects(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.mark.parametrize("forward", ["tcp", "socket"])
def test_nothing_is_forwarded_back(place, grant, tmp_path, forward):
    port = free_port()
    where = str(port) if forward == "tcp" else str(tmp_path / "back")
    done = place.ssh("true", options=("-o", "ExitOnForwardFailure=yes", "-R", f"{where}:127.0.0.1:22"))
    assert done.returncode == 255
    assert not _connects(port)
    assert not (tmp_path / "back").exists()


def test_there_are_no_tunnel_devices(place, grant):
    done = place.ssh("true", options=("-o", "ExitOnForwardFailure=yes", "-w", "9:9"))
    assert done.returncode == 255
    assert not Path("/sys/class/net/tun9").exists()


def test_no_agent_is_forwarded(place, grant, tmp_path):
    path = str(tmp_path / "agent")
    agent = subprocess.Popen(
        ["ssh-agent", "-D", "-a", path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )

    async def ask() -> set[Path]:
        """Return the sockets that the library creates while a command runs whose client offers its agent."""
        before = _agent_sockets()
        async with asyncssh.connect(
            "127.0.0.1",
            place.port,
            username="web-1",
            client_keys=[str(place.key("alice"))],
            known_hosts=None,
            config=None,
            agent_path=path,
            agent_forwarding=True,
        ) as conn:
            async with conn.create_process("test count 0") as process:
                await asyncio.sleep(0.5)
                made = _agent_sockets() - before
                process.stdin.write_eof()
                assert (await process.stdout.read()).strip() == "0"
            return made

    try:
        eventually(lambda: (tmp_path / "agent").exists())
        assert asyncio.run(ask()) == set()
    finally:
        agent.kill()
        agent.wait()


def test_no_display_is_forwarded(place, grant):
    async def ask() -> bool:
        async with offered(place, str(place.key("alice"))) as conn:
            with pytest.raises(asyncssh.ChannelOpenError):
                await conn.create_process(
                    "true", x11_forwarding=True, x11_display=":9", x11_auth_path="/dev/null"
                )
            return True

    assert asyncio.run(ask())


def test_environment_is_dropped_and_floods_of_it_cost_nothing(place, grant):
    async def flood() -> None:
        async with offered(place, str(place.key("alice"))) as conn:
            env = {f"V{i}": "x" * 20_000 for i in range(300)}
            result = await conn.run("echo restart nginx", env=env)
            assert result.stdout == "restart nginx\n"

    before = rss(place)
    for _ in range(4):
        asyncio.run(flood())
    assert rss(place) - before < 12_000
    assert place.ssh("true", options=("-o", "SetEnv=LD_PRELOAD=/x.so")).returncode == 0


def test_passwords_are_not_asked_for(place, grant):
    done = place.ssh("true", options=("-o", "PreferredAuthentications=password", "-v"))
    assert b"Authentications that can continue: publickey,keyboard-interactive" in done.stderr
    assert done.returncode == 255


def test_nothing_is_asked_of_who_has_no_key_and_no_answer_lets_in(place, grant):
    """Keyboard-interactive says where keys are registered, and is refused whatever is answered."""
    asked = []

    class Guesser(asyncssh.SSHClient):
        def kbdint_auth_requested(self):
            return "" if len(asked) < 30 else None

        def kbdint_challenge_received(self, name, instructions, lang, prompts):
            asked.append(prompts)
            return []

    async def ask() -> None:
        await asyncssh.create_connection(
            Guesser,
            "127.0.0.1",
            place.port,
            username="web-1",
            known_hosts=None,
            config=None,
            agent_path=None,
            client_keys=None,
        )

    with pytest.raises((asyncssh.Error, OSError)):
        asyncio.run(ask())
    assert asked == []


@pytest.mark.parametrize("principals", [["alice"], []])
def test_certificates_of_others_prove_nothing(place, grant, principals):
    """Not even over a registered key, and not one without principals, which a careless server takes for
    anybody's.
    """
    ca = asyncssh.generate_private_key("ssh-ed25519")
    key = asyncssh.generate_private_key("ssh-ed25519")
    certificate = ca.generate_user_certificate(key, "x", principals=principals)

    async def ask() -> None:
        async with offered(place, (key, certificate)) as conn:
            await conn.run("true")

    with pytest.raises(asyncssh.PermissionDenied):
        asyncio.run(ask())


def test_the_user_name_that_counts_is_the_one_that_was_proven(place, grant):
    """A client that begins under one name and then proves itself under another is judged by the other."""
    keys = [asyncssh.read_private_key(place.key("alice"))]

    class Switcher(asyncssh.SSHClient):
        def connection_made(self, conn):
            self.conn = conn

        def public_key_auth_requested(self):
            self.conn._username = "web-2"
            return keys.pop() if keys else None

    async def ask() -> str:
        conn, _ = await asyncssh.create_connection(
            Switcher,
            "127.0.0.1",
            place.port,
            username=f"{grant.ref}.no-such",
            known_hosts=None,
            config=None,
            agent_path=None,
            client_keys=None,
        )
        async with conn:
            return str((await conn.run("echo restart nginx")).stdout)

    assert asyncio.run(ask()) == "restart nginx\n"
    assert CommandRun.objects.filter(grant=grant).latest("pk").target.name == "web-2"


def test_many_keys_are_cut_off(place, grant):
    keys = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(40)]

    class Guesser(asyncssh.SSHClient):
        def public_key_auth_requested(self):
            return keys.pop() if keys else None

    async def ask() -> None:
        await asyncssh.create_connection(
            Guesser,
            "127.0.0.1",
            place.port,
            username="web-1",
            known_hosts=None,
            config=None,
            agent_path=None,
            client_keys=None,
        )

    with pytest.raises((asyncssh.Error, OSError)):
        asyncio.run(ask())
    assert 40 - len(keys) <= 12
    assert place.ssh("true").returncode == 0


def test_hundreds_of_channels_are_refused_and_harm_nobody(place, grant):
    async def ask() -> tuple[int, int]:
        async with offered(place, str(place.key("alice"))) as conn:
            opens = [conn.create_process("test sleep 60") for _ in range(200)]
            results = await asyncio.gather(*opens, return_exceptions=True)
            refused = [result for result in results if isinstance(result, asyncssh.ChannelOpenError)]
            return len(results) - len(refused), len(refused)

    assert asyncio.run(ask()) == (8, 192)
    assert place.ssh("true").returncode == 0


def test_three_addresses_that_flood_leave_room_for_those_who_have_no_connection_yet(place, grant):
    """Forty from each would fill all hundred places."""
    with contextlib.ExitStack() as stack:
        for number in (2, 3, 4):
            for _ in range(40):
                sock = socket.create_connection(
                    ("127.0.0.1", place.port), timeout=allow(5), source_address=(f"127.0.0.{number}", 0)
                )
                stack.enter_context(sock)
        # A client of the flood has none left. This comes first, because unauthenticated clients are cut after
        # fifteen seconds.
        assert place.ssh("true", options=("-b", "127.0.0.2")).returncode == 255
        for number in (5, 6, 7):
            done = place.ssh("true", options=("-b", f"127.0.0.{number}"))
            assert (done.returncode, done.stderr) == (0, b"")


def test_a_connection_without_a_session_is_let_go(place, grant):
    began = time.monotonic()
    done = place.ssh(options=("-N",), timeout=allow(30))
    assert done.returncode == 255
    assert 13 < time.monotonic() - began < allow(20)


def test_a_marker_of_a_private_key_hides_no_attempt(place, grant):
    for _ in range(5):
        done = place.ssh("rm -rf / # -----BEGIN PRIVATE KEY-----")
        assert b"not allowed" in done.stderr
    runs = CommandRun.objects.filter(grant=grant, state="refused")
    assert runs.count() == 5
    assert {run.line[:44] for run in runs} == {"rm -rf / # [private key, sha256:3021d90eb943"}
    told = AuditEntry.objects.filter(object_ref=grant.ref, event="command.refused")
    assert [entry.data["run"] for entry in told.order_by("seq")] == [run.pk for run in runs.order_by("pk")]
