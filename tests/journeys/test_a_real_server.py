"""A server booted by systemd, set up by Stint's own script: what the README and the starters open with runs
from a laptop, by plain ssh and from the grant's page, and its end is proven by the kernel.
"""

import os
import subprocess
from collections.abc import Iterator

import pytest

from tests.broker.cli.conftest import Laptops
from tests.environment import POSTGRES
from tests.sessions_app.gateways.ssh.test_ending import ended
from tests.sessions_app.gateways.ssh.test_orders import order, run_of
from tests.support.browser.site import serve
from tests.support.databases import own_database
from tests.support.servers.gateway import Place
from tests.support.servers.systemd_host import SystemdHost, systemd_host, why_not
from tests.support.waits import eventually
from tests.support.world.acts import revoke
from tests.support.world.world import make_world

pytestmark = pytest.mark.smoke

SET = """
name: restart-web
kind: ssh
summary: Restart one web service, and read its state and its log
risk: medium
parameters:
  unit: {choice: [nginx, haproxy]}
commands:
  - {run: "systemctl restart {unit}", as: root, effect: change}
  - {run: "systemctl reload {unit}", as: root, effect: change}
  - {run: "service {unit} restart", as: root, effect: change}
  - {run: "systemctl --no-pager status {unit}", effect: read}
  - {run: "systemctl is-active {unit}", effect: read}
  - {run: "journalctl --no-pager -u {unit} -n 100", as: root, effect: read}
  - {run: "tail -f /var/log/nginx/access.log", as: root, effect: read}
  - {run: "stay {unit}", as: root, effect: change}
examples: {allow: ["systemctl restart nginx"], refuse: ["systemctl restart sshd"]}
accept: {"unknown_program commands[7].run": starts processes that try to stay}
"""
# A pipeline, one that ignores hangups, and one that leaves its session and its environment.
STAY = """echo started
nohup sleep 8001 >/dev/null 2>&1 &
env -i setsid -f sleep 8002 </dev/null >/dev/null 2>&1
sleep 8003 | sleep 8004"""
RESTART = 0


@pytest.fixture(scope="module")
def laptops(tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Laptops]:
    if reason := why_not():
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("place")
    (folder / "state").mkdir(mode=0o700)
    (folder / "host").mkdir()
    with django_db_blocker.unblock(), own_database() as name, systemd_host(folder / "host") as host:
        url = POSTGRES.url("stint_app", name)
        env = {**os.environ, "DATABASE_URL": url, "STINT_STATE_DIR": str(folder / "state")}
        place = set_up(folder, env, host)
        try:
            place.start()
            with serve({**env, "STINT_SSH_PORT": str(place.port)}, folder) as address:
                yield Laptops(place, address)
        finally:
            place.stop()


def set_up(folder, env, host: SystemdHost) -> Place:
    from broker.kernel import clock
    from sessions_app.models import Cluster
    from sessions_app.operations.targets.ensure_authority import ensure_authority
    from sessions_app.operations.targets.target_setup import ssh_setup
    from sessions_app.queries.gateways.keys import SSH_USER_CA

    clock.sync()
    ensure_authority(SSH_USER_CA, now=clock.now())
    place = Place(make_world(clock.now()), folder, env, {"web-1": host})
    place.world.apply({**place.catalog(), "command-sets/restart-web.yaml": SET}, now=clock.now())
    host.set_up(ssh_setup(Cluster.objects.get(name="web"), gateways=["127.0.0.1"]).script)
    host.add_program("stay", STAY)
    return place


@pytest.fixture
def host(laptops) -> SystemdHost:
    return laptops.place.targets["web-1"]


def main_pid(host) -> str:
    return host.do("systemctl show -p MainPID --value nginx")


def sleepers(host) -> list[str]:
    return host.run("pgrep -fx 'sleep 800[1-4]'").stdout.split()


def ssh(laptops, grant, line: str) -> subprocess.CompletedProcess[bytes]:
    return laptops.place.ssh(line, user=f"{grant.ref}.web-1")


def test_the_first_command_of_the_readme_restarts_the_service(laptops, host):
    before, thread = main_pid(host), laptops.approve_when_asked()
    done = laptops["alice"]("ssh", "web-1", "-m", "Load it", "--", "systemctl", "restart", "nginx")
    thread.join()
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert main_pid(host) != before


def test_plain_ssh_gets_the_output_and_status_of_a_plain_login(laptops, host):
    grant = laptops.place.grant()
    for line in ("systemctl is-active nginx", "systemctl --no-pager status nginx", "service nginx restart"):
        plain, done = host.run(line), ssh(laptops, grant, line)
        assert (done.stderr, done.returncode) == (b"", plain.returncode), line
        assert done.stdout.decode().splitlines()[:1] == plain.stdout.splitlines()[:1]
    assert b"Started nginx.service" in ssh(laptops, grant, "journalctl --no-pager -u nginx -n 100").stdout
    refused = ssh(laptops, grant, "systemctl restart sshd")
    assert (refused.returncode, b"not allowed" in refused.stderr) == (255, True)


def test_the_page_restarts_the_service_too(laptops, host):
    before, grant = main_pid(host), laptops.place.grant()
    run = run_of(order(laptops.place, grant, RESTART), "done", within=60)
    assert (run.exit_status, main_pid(host) != before) == (0, True)


@pytest.mark.parametrize("line", ["tail -f /var/log/nginx/access.log", "stay nginx"])
def test_the_end_kills_what_root_started_and_the_kernel_proves_it(laptops, host, line):
    grant, service = laptops.place.grant(), main_pid(host)
    words = laptops.place.command(line, user=f"{grant.ref}.web-1")
    client = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    with client:
        eventually(lambda: host.run("ls -d /sys/fs/cgroup/stint.slice/stint-*.scope").stdout)
        if line.startswith("stay"):
            eventually(lambda: len(sleepers(host)) == 4)
        revoke(grant)
        assert client.wait(60) == 255
        assert client.stderr.read().decode() == f"stint: {grant.ref} has ended: revoked.\n"
    eventually(lambda: ended(grant))
    assert not sleepers(host)
    (lease,) = grant.leases.all()
    assert (lease.evidence["root_proven_by"], lease.evidence["processes_of_root_left"]) == ("kernel", 0)
    assert main_pid(host) == service
