"""The recording of a connection belongs to its first statement that ran."""

import pytest

from sessions_app.models import CommandRun
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.keep_conversation import keep_conversation
from tests.support.world import acts

MADE = {"recording": "GR-7F3K/1.cast", "recording_digest": "a" * 64, "recording_bytes": 120}


@pytest.fixture
def run(world) -> CommandRun:
    used, session = acts.enter(world.grant(), now=world.now)
    tried = acts.run(used, session, now=world.now)
    finish_run(run_id=tried.run_id, state="done", rows=1, output_bytes=48, now=world.now)
    return CommandRun.objects.get(pk=tried.run_id)


def test_its_digest_is_recorded_once_and_the_size_of_the_result_stays(world, run):
    for _ in range(2):
        keep_conversation(run_id=run.pk, **MADE, now=world.now)
    run.refresh_from_db()
    assert (run.recording, run.recording_digest, run.recording_bytes) == tuple(MADE.values())
    assert (run.rows, run.output_bytes) == (1, 48)
    assert acts.events(run.grant.ref).count("recording.completed") == 1
    data = acts.last("recording.completed", run.grant.ref).data
    assert (data["run"], data["session"], data["recording_sha256"]) == (run.pk, run.session_id, "a" * 64)


def test_a_purged_one_stays_purged(world, run):
    CommandRun.objects.filter(pk=run.pk).update(recording_purged_at=world.now)
    keep_conversation(run_id=run.pk, **MADE, now=world.now)
    assert CommandRun.objects.get(pk=run.pk).recording == ""
