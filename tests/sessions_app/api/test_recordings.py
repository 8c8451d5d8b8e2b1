"""/runs/…/recording and /runs/…/output"""

import hashlib
import json

import pytest

from sessions_app.models import CommandRun
from sessions_app.queries.record.recording_content import CHUNK_BYTES
from tests.support.world import acts


@pytest.fixture
def recorded(world, settings, tmp_path):
    """A run of Alice's with a recording: give its lines, get the run."""
    settings.RECORDINGS_DIR = tmp_path / "recordings"
    settings.RECORDINGS_DIR.mkdir()
    used = acts.use(world.grant(), now=world.now)
    run_id = acts.run(used, acts.session(used, now=world.now), now=world.now).run_id

    def make(*lines: object) -> CommandRun:
        text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
        (settings.RECORDINGS_DIR / "1.cast").write_text(text, encoding="utf-8")
        digest = hashlib.sha256(text.encode()).hexdigest()
        CommandRun.objects.filter(pk=run_id).update(recording="1.cast", recording_digest=digest)
        return CommandRun.objects.select_related("grant").get(pk=run_id)

    return make


HEAD = {"version": 2, "width": 80, "height": 24}


def test_the_file_is_as_it_was_sealed_and_reading_it_is_recorded(api, recorded):
    run = recorded(HEAD, [0.1, "o", "Größe €\r\n"])
    answer = api("bob").get(f"/runs/{run.pk}/recording")
    assert answer["Content-Type"] == "application/x-asciicast"
    assert answer["Content-Disposition"] == f'attachment; filename="{run.grant.ref}-{run.pk}.cast"'
    assert answer["Cache-Control"] == "no-store"
    assert hashlib.sha256(answer.body).hexdigest() == run.recording_digest
    entry = acts.last("recording.watched", run.grant.ref)
    assert (entry.actor, entry.data["run"]) == ("bob", run.pk)


def test_the_output_is_what_the_command_wrote_and_reading_it_is_recorded(api, recorded):
    run = recorded(
        HEAD, [0.1, "o", "one\r\n"], [0.2, "i", "typed"], [0.3, "o", "\x1b[31mtwo\x1b[0m"], '[0.4, "o", "cut'
    )
    answer = api("alice").get(f"/runs/{run.pk}/output").body
    assert answer == {"text": "one\r\n\x1b[31mtwo\x1b[0m", "next": None}
    assert acts.last("recording.watched", run.grant.ref).actor == "alice"


def test_half_a_character_is_no_failure(api, recorded):
    run = recorded(HEAD, '[0.1, "o", "a\\ud800b"]')
    assert api("alice").get(f"/runs/{run.pk}/output").body["text"] == "a?b"


def test_long_output_comes_in_parts_that_miss_nothing(api, recorded):
    lines = [[number / 10, "o", f"{number} {'x' * 1000}\n"] for number in range(600)]
    run = recorded(HEAD, *lines)
    parts, following = [], f"/runs/{run.pk}/output"
    while following:
        answer = api("alice").get(following.removeprefix("/api/v1")).body
        assert len(answer["text"]) < 2 * CHUNK_BYTES
        parts.append(answer["text"])
        following = answer["next"]
    assert len(parts) == 3
    assert "".join(parts) == "".join(text for _, _, text in lines)
    assert api("alice").get(f"/runs/{run.pk}/output?cursor=999999999").body == {"text": "", "next": None}


@pytest.mark.parametrize("tail", ["recording", "output"])
def test_what_is_not_ones_own_or_has_none_is_not_there_and_nothing_is_recorded(api, recorded, settings, tail):
    run = recorded(HEAD)
    for who in ("charlie", "robot", "deployer"):
        hidden, absent = api(who).get(f"/runs/{run.pk}/{tail}"), api(who).get(f"/runs/999999/{tail}")
        assert hidden.status_code == 404
        assert hidden.content.replace(f"/{run.pk}/".encode(), b"/999999/") == absent.content
    CommandRun.objects.update(recording="")
    assert api("alice").get(f"/runs/{run.pk}/{tail}").status_code == 404
    assert "recording.watched" not in acts.events()
    (settings.RECORDINGS_DIR.parent / "outside").write_text("x")
    for gone in ("gone.cast", "../outside"):
        CommandRun.objects.update(recording=gone)
        assert api("alice").get(f"/runs/{run.pk}/{tail}").status_code == 404


def test_one_that_was_purged_is_said_to_be(api, recorded, world):
    run = recorded(HEAD, [0.1, "o", "one"])
    CommandRun.objects.filter(pk=run.pk).update(recording="gone.cast", recording_purged_at=world.now)
    answer = api("bob").get(f"/runs/{run.pk}/recording")
    assert answer.status_code == 404
    assert f"The recording was purged on {world.now:%Y-%m-%d}. Its digest is in the record." in str(
        answer.json()
    )
