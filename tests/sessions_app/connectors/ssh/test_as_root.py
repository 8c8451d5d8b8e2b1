"""Commands that run as root on a target where Stint has another account: a real sshd, its setup, and its
sudo.
"""

import asyncio
import secrets

import asyncssh
import pytest

from sessions_app.connectors.base import ConnectorError, LeaseSpec, TargetSpec
from sessions_app.connectors.ssh.as_root import root_lines_of
from sessions_app.connectors.ssh.connection import Dialer, Errand, cut
from sessions_app.connectors.ssh.setup import Setup
from sessions_app.connectors.ssh.wrapper import force_command
from sessions_app.policy.commands.ssh.decide import Allowed, CompiledSet, compile_open, decide
from sessions_app.policy.scope import TargetFacts
from tests.sessions_app.policy.commands.conftest import make
from tests.support.servers.ssh_host import SshHost, ssh_host
from tests.support.waits import eventually

# `outlive` starts one that leaves its session, as a daemon does.
PROGRAMS = {
    "servicectl": 'echo "$(id -un) $2 $STINT_RUN"',
    "outlive": "setsid sleep $1 & echo started; exec sleep $1",
}
SET = make(
    {"run": "servicectl restart {unit}", "as": "root"},
    {"run": "outlive {seconds}", "as": "root"},
    "id -un",
    parameters={"unit": {"choice": ["nginx", "haproxy"]}, "seconds": {"int": [600, 99999]}},
)


@pytest.fixture(scope="module")
def bare(processes, tmp_path_factory):
    with ssh_host(tmp_path_factory.mktemp("host")) as one:
        for name, text in PROGRAMS.items():
            one.add_program(name, text)
        yield one


@pytest.fixture
def compiled():
    return compile_open(SET)


@pytest.fixture
def host(bare, public_ca, compiled):
    set_up(bare, public_ca, compiled)
    return bare


def set_up(host: SshHost, public_ca: str, *sets: CompiledSet) -> None:
    lines = root_lines_of(command for one in sets for command in one.commands)
    script = Setup(cluster="web", accounts=["stint"], ca_keys=[public_ca], root_lines=lines).script
    begun = host.starts
    done = host.run(script)
    assert done.returncode == 0, done.stderr
    eventually(lambda: host.starts > begun)


def place(host: SshHost) -> TargetSpec:
    facts = TargetFacts(
        id=1, name="web-1", address="127.0.0.1", port=host.port, account="stint", host_key=host.host_key
    )
    return TargetSpec(cluster="web", target=facts)


async def start(
    host: SshHost, ca, line: str, mark: str, seconds: float = 60.0
) -> asyncssh.SSHClientConnection:
    found = decide(compile_open(SET), line)
    assert isinstance(found, Allowed)
    command = force_command(
        found.argv,
        contain=found.contain,
        account="stint",
        grant_mark=mark,
        run_id=1,
        seconds=seconds,
        as_root=found.as_root,
    )

    async def errand() -> Errand:
        return Errand(serial=1, key_id="test", command=command)

    return await Dialer(lambda: ca).dial(place(host), errand)


async def answer(
    host: SshHost, ca, line: str, mark: str, seconds: float = 60.0
) -> asyncssh.SSHCompletedProcess:
    connection = await start(host, ca, line, mark, seconds)
    try:
        return await connection.run("", stdin=asyncssh.DEVNULL)
    finally:
        cut(connection)


def sleepers(host: SshHost, seconds: int) -> str:
    return host.run(f"pgrep -u root -fx 'sleep {seconds}'").stdout


def test_an_approved_line_runs_as_root_with_its_marks_and_others_as_the_account(host, ca):
    mark = secrets.token_hex(16)
    done = asyncio.run(answer(host, ca, "servicectl restart nginx", mark))
    assert (done.stdout, done.returncode) == (f"root nginx {mark}-000000000001\n", 0), done.stderr
    assert asyncio.run(answer(host, ca, "id -un", mark)).stdout == "stint\n"


@pytest.mark.parametrize(
    "words",
    [
        "servicectl restart sshd",
        "servicectl restart",
        "servicectl restart nginx now",
        "outlive 5",
        "id -un",
        "",
        "--end x",
    ],
)
def test_the_target_itself_runs_nothing_else_as_root(host, words):
    asked = f"setpriv --reuid stint --regid stint --clear-groups -- sudo -n -- /etc/ssh/stint_as_root {words}"
    done = host.run(asked)
    assert done.returncode == 1
    assert "password is required" in done.stderr


def test_a_word_with_a_space_passes_sudo_but_not_the_script(host):
    done = host.run(
        "STINT_GRANT=aaaaaaaa STINT_RUN=aaaaaaaa-1 STINT_SECONDS=9 "
        "setpriv --reuid stint --regid stint --clear-groups -- "
        "sudo -n -- /etc/ssh/stint_as_root servicectl 'restart nginx'"
    )
    assert (done.returncode, done.stderr) == (125, "stint: a word contains a space\n")


def test_what_runs_as_root_dies_with_the_connection_and_so_does_what_left_its_session(host, ca):
    async def begin_and_cut() -> None:
        connection = await start(host, ca, "outlive 7001", secrets.token_hex(16), seconds=600)
        process = await connection.create_process("", stdin=asyncssh.DEVNULL)
        assert await process.stdout.readline() == "started\n"
        await asyncio.to_thread(eventually, lambda: len(sleepers(host, 7001).split()) == 2)
        cut(connection)

    asyncio.run(begin_and_cut())
    eventually(lambda: sleepers(host, 7001) == "", within=10)


def test_what_runs_as_root_ends_when_its_time_is_over(host, ca):
    done = asyncio.run(answer(host, ca, "outlive 7002", secrets.token_hex(16), seconds=1.0))
    assert done.stdout == "started\n"
    eventually(lambda: sleepers(host, 7002) == "", within=10)


def test_a_revoke_kills_and_counts_what_carries_the_mark_as_root(host, connector):
    mark = secrets.token_hex(16)
    host.run(f"STINT_GRANT={mark} setsid sleep 7003 >/dev/null 2>&1 &")
    eventually(lambda: sleepers(host, 7003))
    lease = LeaseSpec(grant_ref="GR-TEST", mark=mark, place=place(host), contained=True)
    assert connector.revoke(lease).gone, "the account can't see what is root's"
    evidence = connector.revoke(
        LeaseSpec(grant_ref="GR-TEST", mark=mark, place=place(host), contained=True, as_root=True)
    )
    assert evidence.gone
    assert evidence.detail["processes_of_root_found"] == 1
    assert sleepers(host, 7003) == ""


def test_the_check_tries_each_line_and_says_which_is_missing(bare, public_ca, connector, compiled):
    set_up(bare, public_ca)
    (step,) = connector.check_commands(place(bare), [compiled])
    assert not step.ok
    assert step.name == "commands of a-set"
    assert "`servicectl restart {unit}` is not allowed as root by sudo" in step.detail
    assert "stint ALL=(root) NOPASSWD: /etc/ssh/stint_as_root servicectl restart nginx`" in step.fix
    set_up(bare, public_ca, compiled)
    (step,) = connector.check_commands(place(bare), [compiled])
    assert step.ok, step
    (step,) = connector.check_commands(place(bare), [compile_open(make("rebootd now"))])
    assert step.detail == "`rebootd` is not on the target's PATH"


def test_without_its_lines_a_command_fails_and_its_end_is_not_proven(bare, public_ca, ca, connector):
    set_up(bare, public_ca)
    assert "stint-web" not in bare.run("ls /etc/sudoers.d").stdout
    done = asyncio.run(answer(bare, ca, "servicectl restart nginx", secrets.token_hex(16)))
    assert done.returncode != 0
    lease = LeaseSpec(grant_ref="GR-TEST", mark=secrets.token_hex(16), place=place(bare), as_root=True)
    with pytest.raises(ConnectorError, match="no usable response"):
        connector.revoke(lease)
