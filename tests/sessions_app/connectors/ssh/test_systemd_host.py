"""What runs on a server booted by systemd, by certificates alone: everyday commands of root work as over a
plain login, and end in all ways, proven by the kernel.
"""

import asyncio
import contextlib
import secrets
import shlex
import urllib.request
from collections.abc import Iterator

import asyncssh
import pytest

from sessions_app.connectors.base import LeaseSpec, TargetSpec
from sessions_app.connectors.ssh.as_root import root_lines_of
from sessions_app.connectors.ssh.connection import Dialer, Errand, cut
from sessions_app.connectors.ssh.setup import Setup
from sessions_app.connectors.ssh.wrapper import force_command
from sessions_app.policy.commands.ssh.decide import compile_open
from sessions_app.policy.scope import TargetFacts
from tests.sessions_app.policy.commands.conftest import make
from tests.support.servers.systemd_host import SystemdHost, systemd_host, why_not
from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.smoke

ACCOUNTS = ["stint", "root"]
AS_ROOT = (
    "systemctl restart nginx",
    "systemctl reload nginx",
    "systemctl --no-pager status nginx",
    "systemctl is-active nginx",
    "systemctl is-active no-such-unit",
    "service nginx restart",
    "nginx -s reload",
    "journalctl --no-pager -u nginx -n 100",
    "tail -f /var/log/nginx/access.log",
    "apt-get remove -y cron",
    "cat",
    "hup {unit}",
    "leave {seconds}",
    "abandon {seconds}",
)
SET = make(
    *({"run": line, "as": "root", "effect": "destructive"} for line in AS_ROOT),
    "uptime",
    parameters={"unit": {"choice": ["nginx"]}, "seconds": {"int": [600, 99999]}},
)
PROGRAMS = {
    "hup": 'exec kill -HUP "$(cat /run/$1.pid)"',
    # Leaves its session, its environment and its parents, ignores signals, and waits.
    "leave": "env -i setsid -f sh -c \"trap '' HUP TERM INT; sleep $1; sleep $1\" </dev/null >/dev/null "
    "2>&1\necho started; exec sleep $1",
    "abandon": "env -i setsid -f sleep $1 </dev/null >/dev/null 2>&1; echo left; exit 7",
}


@pytest.fixture(scope="module")
def host(tmp_path_factory, public_ca):
    if reason := why_not():
        pytest.skip(reason)
    with systemd_host(tmp_path_factory.mktemp("host")) as one:
        for name, text in PROGRAMS.items():
            one.add_program(name, text)
        lines = root_lines_of(compile_open(SET).commands)
        setup = Setup(
            cluster="web", accounts=ACCOUNTS, ca_keys=[public_ca], gateways=["127.0.0.1"], root_lines=lines
        )
        one.set_up(setup.script)
        yield one


def place(host: SystemdHost, account: str = "stint") -> TargetSpec:
    facts = TargetFacts(
        id=1, name="web-1", address="127.0.0.1", port=host.port, account=account, host_key=host.host_key
    )
    return TargetSpec(cluster="web", target=facts)


async def start(host, ca, line, *, account="stint", mark="", seconds=600.0) -> asyncssh.SSHClientConnection:
    root = any(line.split()[0] == one.split()[0] for one in AS_ROOT)
    command = force_command(
        shlex.split(line),
        contain="pidns",
        account=account,
        grant_mark=mark or secrets.token_hex(16),
        run_id=1,
        seconds=seconds,
        as_root=root,
    )

    async def errand() -> Errand:
        return Errand(serial=1, key_id="test", command=command)

    return await Dialer(lambda: ca).dial(place(host, account), errand)


def run(host, ca, line, **more) -> asyncssh.SSHCompletedProcess:
    async def ask() -> asyncssh.SSHCompletedProcess:
        connection = await start(host, ca, line, **more)
        try:
            return await connection.run("", stdin=asyncssh.DEVNULL, timeout=PATIENCE)
        finally:
            cut(connection)

    return asyncio.run(ask())


def answer(host) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{host.web_port}") as response:
        return response.read()


def main_pid(host) -> str:
    return host.do("systemctl show -p MainPID --value nginx")


def workers(host) -> str:
    return host.do(f"pgrep -P {main_pid(host)}")


def sleepers(host, seconds: int) -> list[str]:
    return host.run(f"pgrep -fx 'sleep {seconds}'").stdout.split()


@contextlib.contextmanager
def broken(host, program: str) -> Iterator[None]:
    host.do(f"chmod -x /usr/bin/{program}")
    yield
    host.do(f"chmod +x /usr/bin/{program}")


def scopes(host) -> list[str]:
    return host.run("systemctl list-units --plain --no-legend 'stint-*.scope'").stdout.splitlines()


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("line", ["systemctl restart nginx", "service nginx restart"])
def test_a_service_is_restarted_and_lives_on(host, ca, line, account):
    before = main_pid(host)
    done = run(host, ca, line, account=account)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
    assert main_pid(host) not in {before, "0\n"}
    assert answer(host) == b"hello\n"


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("line", ["systemctl reload nginx", "nginx -s reload", "hup nginx"])
def test_a_service_is_reloaded_by_systemd_or_by_its_pid_file(host, ca, line, account):
    main, before = main_pid(host), set(workers(host).split())
    done = run(host, ca, line, account=account)
    assert done.returncode == 0, done.stderr
    eventually(lambda: not before & set(workers(host).split()))
    assert main_pid(host) == main


@pytest.mark.parametrize("account", ACCOUNTS)
@pytest.mark.parametrize("line", ["systemctl is-active nginx", "systemctl is-active no-such-unit"])
def test_output_and_exit_status_are_those_of_a_plain_login(host, ca, line, account):
    plain, done = host.run(line), run(host, ca, line, account=account)
    assert (done.stdout, done.returncode) == (plain.stdout, plain.returncode)


def test_states_and_logs_are_read_and_packages_are_removed(host, ca):
    status = run(host, ca, "systemctl --no-pager status nginx")
    assert "Active: active (running)" in status.stdout
    assert "Started nginx.service" in run(host, ca, "journalctl --no-pager -u nginx -n 100").stdout
    removed = run(host, ca, "apt-get remove -y cron")
    assert removed.returncode == 0, removed.stderr
    assert host.run("systemctl is-active cron").stdout == "inactive\n"


def test_what_needs_no_root_runs_as_the_account_and_reads_the_state_of_services_too(host, ca):
    assert run(host, ca, "id -un").stdout == "stint\n"
    # No server listens there.
    for line in ("psql -Xc 'SELECT 1' postgresql://127.0.0.1:1/shop", "bash -c 'systemctl is-active nginx'"):
        plain, done = host.run(line), run(host, ca, line)
        assert (done.stdout, done.stderr, done.returncode) == (plain.stdout, plain.stderr, plain.returncode)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_input_passes_and_no_signal_is_ignored(host, ca, account):
    async def ask() -> tuple[str, str]:
        connection = await start(host, ca, "cat", account=account)
        try:
            async with connection.create_process("") as process:
                process.stdin.write("through\n")
                line = await process.stdout.readline()
                ignored = await asyncio.to_thread(host.do, "grep -h SigIgn /proc/$(pgrep -x cat)/status")
                cut(connection)
                return line, ignored
        finally:
            cut(connection)

    assert asyncio.run(ask()) == ("through\n", "SigIgn:\t0000000000000000\n")


@pytest.mark.parametrize("account", ACCOUNTS)
def test_what_left_its_session_and_its_marks_dies_with_the_connection(host, ca, account):
    seconds = 7100 + ACCOUNTS.index(account)

    async def begin_and_cut() -> None:
        connection = await start(host, ca, f"leave {seconds}", account=account)
        process = await connection.create_process("", stdin=asyncssh.DEVNULL)
        assert await process.stdout.readline() == "started\n"
        await asyncio.to_thread(eventually, lambda: len(sleepers(host, seconds)) == 2)
        cut(connection)

    asyncio.run(begin_and_cut())
    eventually(lambda: not sleepers(host, seconds), within=10)
    eventually(lambda: not scopes(host), within=10)
    assert host.run("systemctl is-system-running").stdout == "running\n"


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_command_that_exits_leaves_nothing_behind(host, ca, account):
    done = run(host, ca, "abandon 7200", account=account)
    assert (done.stdout, done.returncode) == ("left\n", 7)
    assert not sleepers(host, 7200)


def test_the_time_is_kept_by_systemd_even_if_nothing_of_stint_is_alive(host, ca):
    async def begin_and_kill() -> None:
        connection = await start(host, ca, "leave 7300", seconds=4.0)
        process = await connection.create_process("", stdin=asyncssh.DEVNULL)
        assert await process.stdout.readline() == "started\n"
        await asyncio.to_thread(host.run, "pkill -KILL -f '^/bin/sh .*stint_as_root'; pkill -KILL -u stint")
        assert len(await asyncio.to_thread(sleepers, host, 7300)) == 2
        cut(connection)

    asyncio.run(begin_and_kill())
    eventually(lambda: not sleepers(host, 7300), within=20)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_revoke_kills_what_left_everything_and_the_kernel_proves_it(host, ca, connector, account):
    mark, seconds = secrets.token_hex(16), 7400 + ACCOUNTS.index(account)

    async def begin_and_abandon() -> None:
        connection = await start(host, ca, f"leave {seconds}", account=account, mark=mark)
        process = await connection.create_process("", stdin=asyncssh.DEVNULL)
        assert await process.stdout.readline() == "started\n"
        # What cut the command is lost, and systemd's limit is far away.
        await asyncio.to_thread(host.run, f"pkill -KILL -f '^(/bin/)?sh .*leave {seconds}'")
        lease = LeaseSpec(
            grant_ref="GR-TEST", mark=mark, place=place(host, account), contained=True, as_root=True
        )
        evidence = await asyncio.to_thread(connector.revoke, lease)
        assert (evidence.gone, evidence.detail["root_proven_by"]) == (True, "kernel")
        assert evidence.detail["processes_of_root_found"] > 1
        assert evidence.detail["processes_of_root_left"] == 0
        assert not await asyncio.to_thread(sleepers, host, seconds)
        cut(connection)

    asyncio.run(begin_and_abandon())


@pytest.mark.parametrize("account", ACCOUNTS)
def test_the_check_tries_each_way_and_names_the_set_that_can_not_work(host, connector, account):
    there = place(host, account)
    assert all(step.ok for step in connector.check(there)), connector.check(there)
    (step,) = connector.check_commands(there, [compile_open(SET)])
    assert step.ok, step
    with broken(host, "systemd-run"):
        (step,) = connector.check_commands(there, [compile_open(SET)])
    assert (step.ok, step.name) == (False, "commands of a-set")
    assert "can't run, or can't reach systemd" in step.detail


def test_a_set_whose_way_works_passes_beside_one_whose_way_does_not(host, connector):
    as_root = compile_open(make({"run": "systemctl is-active nginx", "as": "root", "effect": "read"}))
    as_account = compile_open(make("uptime"))
    with broken(host, "unshare"):
        (works,) = connector.check_commands(place(host), [as_root])
        (fails,) = connector.check_commands(place(host), [as_account])
    assert works.ok, works
    assert fails.detail == "a command in a PID namespace can't run, or can't reach systemd"
    assert fails.fix.startswith("Allow user namespaces for the account")
