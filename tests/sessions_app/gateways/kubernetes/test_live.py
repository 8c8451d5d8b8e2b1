"""A command in a container is watched live, and ended alone, while its grant continues."""

import json
import secrets
import subprocess
from collections.abc import Iterator

import pytest
from redis import Redis

from broker.embedded.state import temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey
from broker.kernel import clock
from broker.kernel.pubsub import redis_url
from broker.kernel.sealed_channel import Receiver
from sessions_app.models import Watch
from sessions_app.operations.sessions.stop_run import stop_run
from sessions_app.operations.sessions.watch_run import watch_run
from tests.support.servers.gateway import new_tag, on_target
from tests.support.waits import PATIENCE, eventually


@pytest.fixture
def queue(place) -> Iterator[Redis]:
    """The queue's server, with a gateway that publishes there."""
    with temporary_state_dir("stint-queue-") as folder, EmbeddedValkey(folder) as server:
        place.stop()
        place.env["REDIS_URL"] = server.celery_url()
        place.start()
        with Redis.from_url(redis_url(server.celery_url())) as client:
            yield client


def test_what_a_command_prints_is_seen_until_someone_ends_it_alone(queue, place):
    grant, tag, channel = place.grant(), new_tag(), secrets.token_hex(8)
    words = ("exec", "web-1", "-c", "app", "--", "test", "print", str(tag))
    client = place.kubectl(grant, *words, stdout=subprocess.DEVNULL)
    try:
        # kubectl reads the API and the pod first.
        runs = grant.runs.filter(line__startswith="exec", state="running")
        eventually(lambda: runs.exists() or client.poll() is not None)
        run = runs.get()
        with queue.pubsub() as heard:
            heard.subscribe(channel)
            begun = watch_run(run_id=run.pk, actor=place.world.bob, channel=channel, now=clock.now())
            receiver, seen = Receiver(begun.key), [["", ""]]

            def sees(kind: str) -> bool:
                # As the streams process does while someone watches.
                Watch.objects.filter(pk=begun.id).update(seen_at=clock.now())
                message = heard.get_message(ignore_subscribe_messages=True, timeout=0.1)
                if message:
                    seen.append(json.loads(receiver.open(message["data"])[0]))
                return seen[-1][0] == kind

            eventually(lambda: sees("o"))
            assert "0123456789" in seen[-1][1]
            stop_run(run_id=run.pk, actor=place.world.bob, now=clock.now())
            eventually(lambda: sees("end"))
        _, said = client.communicate(timeout=PATIENCE)
        assert "Bob ended this command." in said.decode()
        assert "has ended" not in said.decode()
    finally:
        client.kill()
        client.communicate()
    eventually(lambda: not on_target(tag))
    eventually(lambda: run.refresh_from_db() or run.state == "cut")
    assert run.reason.startswith("Bob ended this command")
    assert place.run(grant, "get", "pods").returncode == 0
