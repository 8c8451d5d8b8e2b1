"""Finding recordings and watching them."""

import hashlib
import json
import re

import pytest
from django.conf import settings

from sessions_app.models import CommandRun
from tests.sessions_app.web.grants.test_grants import finish
from tests.support.world import acts
from tests.support.world.reading import read, says


@pytest.fixture
def recorded(grant, now):
    """A command with a recording."""
    used = acts.use(grant, now=now)
    tried = acts.run(used, acts.session(used, now=now), "echo restart nginx", now=now)
    finish(tried.run_id, "one\r\n\x1b[31mtwo\x1b[0m <b>\r\n", now)
    return CommandRun.objects.get(pk=tried.run_id)


def test_the_list_has_what_one_may_watch_and_filters_narrow_it(recorded, grant, as_alice, as_bob, as_charlie):
    for client in (as_alice, as_bob):
        assert "echo restart nginx" in read(client, "/recordings/")
    assert "No recordings yet" in read(as_charlie, "/recordings/")
    for query in ("text=RESTART", "cluster=web", "person=alice", f"grant={grant.ref.lower()}"):
        assert f"/recordings/{recorded.pk}/" in read(as_bob, f"/recordings/?{query}"), query
    for query in ("text=stop", "cluster=db", "person=bob", "grant=GR-0000"):
        shown = read(as_bob, f"/recordings/?{query}")
        assert f"/recordings/{recorded.pk}/" not in shown, query


def test_a_recording_is_read_as_text_and_said_to_be_what_was_sealed(recorded, as_bob):
    page = read(as_bob, f"/recordings/{recorded.pk}/")
    says(page, 'one\n<span class="a-f1">two</span> &lt;b&gt;', "Seal intact")
    assert recorded.recording_digest in page


def test_a_file_that_was_changed_is_not_what_was_sealed(recorded, as_bob):
    path = settings.RECORDINGS_DIR / recorded.recording
    path.write_text(path.read_text().replace("two", "six"))
    page = read(as_bob, f"/recordings/{recorded.pk}/")
    assert "Modified after sealing" in page
    assert hashlib.sha256(path.read_bytes()).hexdigest() in page


def test_a_file_that_is_gone_is_said(recorded, as_bob):
    (settings.RECORDINGS_DIR / recorded.recording).unlink()
    assert "File missing" in read(as_bob, f"/recordings/{recorded.pk}/")
    assert as_bob.get(f"/recordings/{recorded.pk}/recording.cast").status_code == 404


def test_a_text_is_found_and_each_hit_leads_to_its_moment(recorded, as_bob):
    page = read(as_bob, f"/recordings/{recorded.pk}/?q=TWO&t=12.5")
    assert re.search(r'href="\?t=0.1&amp;q=TWO" data-at="0.1"', page)
    assert 'data-start="12.5"' in page
    assert "No matches for “three”" in read(as_bob, f"/recordings/{recorded.pk}/?q=three")


def test_the_file_is_served_as_it_is_and_never_kept(recorded, as_bob):
    answer = as_bob.get(f"/recordings/{recorded.pk}/recording.cast")
    data = b"".join(answer.streaming_content)
    assert answer["Content-Type"] == "application/x-asciicast"
    assert "no-store" in answer["Cache-Control"]
    assert hashlib.sha256(data).hexdigest() == recorded.recording_digest
    assert json.loads(data.splitlines()[0])["version"] == 2


def test_watching_is_recorded_once_a_visit_and_looking_at_the_list_is_not(
    recorded, grant, as_bob, as_charlie
):
    as_bob.get("/recordings/")
    assert acts.events(grant.ref).count("recording.watched") == 0
    for url in ("", "?q=two", "recording.cast"):
        as_bob.get(f"/recordings/{recorded.pk}/{url}")
    assert acts.events(grant.ref).count("recording.watched") == 1
    assert as_charlie.get(f"/recordings/{recorded.pk}/").status_code == 404
    assert acts.last("recording.watched", grant.ref).actor == "bob"


def test_no_page_allows_inline_or_evaluated_script(recorded, grant, as_bob):
    for url in (f"/recordings/{recorded.pk}/", "/recordings/", f"/grants/{grant.ref}/", "/"):
        assert "unsafe" not in as_bob.get(url)["Content-Security-Policy"]
