"""The worker's queue, as REDIS_URL names it: one server, or the one that sentinels name."""

import contextlib
import datetime as dt
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured
from redis import Redis, RedisError

from broker.databases import queue
from broker.demo.ports import free_port
from broker.embedded.binaries import find_valkey
from broker.processes.argv import worker_argv
from tests.support.servers.running import start
from tests.support.waits import eventually


def test_sentinels_are_asked_for_the_server_with_the_logins_of_both():
    url, options = queue("sentinel://:s3cret@one:26379,two,[2001:db8::1]:26380/jobs/2?sentinel_password=own")
    assert (
        url
        == "sentinel://:s3cret@one:26379/2;sentinel://:s3cret@two/2;sentinel://:s3cret@[2001:db8::1]:26380/2"
    )
    assert options["master_name"] == "jobs"
    assert options["sentinel_kwargs"]["password"] == "own"


def test_a_url_of_one_server_is_taken_as_it_is():
    for url in ("redis://cache:6379/1", "rediss://:word@cache/0", "redis+socket:///run/valkey.sock", ""):
        assert queue(url) == (url, {})


@pytest.mark.parametrize(
    "url",
    [
        "amqp://cache",
        "cache:6379",
        "sentinel://one:26379",
        "sentinel://one,,two/jobs",
        "sentinel:///jobs",
        "sentinel://one/jobs/first",
        "sentinel://one/jobs?sentinel_pasword=own",
    ],
)
def test_what_is_no_queue_stops_the_start_and_its_password_is_not_shown(url):
    with pytest.raises(ImproperlyConfigured, match="REDIS_URL") as refused:
        queue(url.replace("//", "//:s3cret@", 1))
    assert "s3cret" not in str(refused.value)


@pytest.fixture
def servers(processes, tmp_path) -> Iterator["Servers"]:
    """Valkeys, with one password, which are killed in the end."""
    started = Servers(tmp_path)
    yield started
    for port in started.running:
        started.kill(port)


class Servers:
    """Starts servers and sentinels, and reads what they say of themselves."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.running: dict[int, subprocess.Popen[bytes]] = {}

    def start(self, *options: str, kind: str = "") -> int:
        """Start one with these options, and return its port."""
        port = free_port()
        file = self._folder / f"{port}.conf"
        about = [f"port {port}", "bind 127.0.0.1", f"dir {self._folder}", "requirepass s3cret", *options, ""]
        file.write_text("\n".join(about))
        program = [str(find_valkey()), str(file), *([kind] if kind else [])]
        self.running[port] = subprocess.Popen(program, stdout=subprocess.DEVNULL)
        eventually(lambda: self._answers(port))
        return port

    def kill(self, port: int) -> None:
        self.running[port].kill()
        self.running[port].wait()

    def says(self, port: int, section: str) -> dict:
        with Redis(port=port, password="s3cret") as client:
            return client.info(section)

    def _answers(self, port: int) -> bool:
        with contextlib.suppress(RedisError):
            return bool(self.says(port, "server"))
        return False


def test_a_worker_goes_on_by_the_server_that_the_sentinels_choose_next(stint_db, servers, tmp_path):
    from sessions_app.models import Sweeper

    words = ["masterauth s3cret", 'save ""']
    first = servers.start(*words)
    second = servers.start(*words, f"replicaof 127.0.0.1 {first}")
    eventually(lambda: servers.says(second, "replication")["master_link_status"] == "up")
    sentinel = servers.start(
        f"sentinel monitor jobs 127.0.0.1 {first} 1",
        "sentinel auth-pass jobs s3cret",
        "sentinel down-after-milliseconds jobs 500",
        "sentinel failover-timeout jobs 2000",
        kind="--sentinel",
    )
    eventually(lambda: servers.says(sentinel, "sentinel")["master0"]["slaves"] == 1)
    url = f"sentinel://:s3cret@127.0.0.1:{sentinel}/jobs?sentinel_password=s3cret"
    with (tmp_path / "worker.log").open("ab") as log:
        worker = start(*worker_argv(), env={**stint_db.env, "REDIS_URL": url}, stderr=log)
    try:
        eventually(Sweeper.objects.filter(name="worker").exists)
        servers.kill(first)
        eventually(lambda: servers.says(second, "replication")["role"] == "master")
        seen = Sweeper.objects.get(name="worker").seen_at
        eventually(lambda: Sweeper.objects.get(name="worker").seen_at > seen + dt.timedelta(seconds=5))
        assert servers.says(second, "commandstats")["cmdstat_brpop"]["calls"] > 1
        assert worker.poll() is None
    finally:
        worker.kill()
        worker.wait()
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
