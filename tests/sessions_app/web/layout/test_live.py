"""What a page asks when it is told to look, and what it is answered."""

import json
import re

from broker.audit.queries import last_number
from sessions_app.models import Notice
from tests.support.world import acts
from tests.support.world.reading import read

AS_PART = {"HTTP_HX_REQUEST": "true"}


def seen(client, url: str = "/record/") -> dict[str, str]:
    """What a page that was just rendered has seen."""
    page = read(client, url)
    pulse = page[page.index('id="pulse"') :]
    return dict(re.findall(r'name="(\w+)" value="(\d+)"', pulse))


def told(answer) -> dict[str, object]:
    return json.loads(answer["HX-Trigger-After-Swap"])["stint:changed"]


def test_nothing_new_is_an_empty_answer(world, as_bob):
    world.request()
    before = seen(as_bob)
    assert before["after"] == str(last_number())
    assert as_bob.get("/pulse/", before).status_code == 204


def test_what_happened_is_said_in_families_numbers_and_one_sentence(world, as_bob):
    before = seen(as_bob)
    said = f"{world.request().ref}: Alice requests restart-web on web as root."
    answer = as_bob.get("/pulse/", before)
    assert told(answer) == {"families": ["request", "notice"], "say": said}
    assert f'name="after" value="{last_number()}"' in answer.content.decode()
    assert 'name="waiting" value="1"' in answer.content.decode()
    assert 'name="unread" value="1"' in answer.content.decode()


def test_more_that_waits_is_said_and_less_is_not(world, as_bob):
    glass = world.request(kind="break_glass", reason="Down").grant
    before = seen(as_bob)
    Notice.objects.all().delete()
    world.request()
    Notice.objects.all().delete()
    answer = as_bob.get("/pulse/", {**before, "notice": "0"})
    assert told(answer)["say"] == "1 more item needs your attention."
    assert told(as_bob.get("/pulse/", {**before, "notice": "0", "waiting": "9"}))["say"] == ""
    assert glass.break_glass


def test_nobody_hears_of_what_others_were_told(world, as_charlie):
    before = seen(as_charlie)
    world.request()
    answer = as_charlie.get("/pulse/", before)
    assert told(answer)["say"] == ""
    assert "Alice" not in answer.content.decode()


def test_a_page_that_is_far_behind_looks_at_everything(world, as_bob, now):
    assert (
        "cluster" in told(as_bob.get("/pulse/", {"after": "1", "notice": "x", "waiting": "-1"}))["families"]
    )
    grant = world.grant()
    used = acts.use(grant, now=now)
    session = acts.session(used, now=now)
    before = seen(as_bob)
    for _ in range(501):
        acts.run(used, session, "echo restart nginx", now=now)
    assert len(told(as_bob.get("/pulse/", before))["families"]) > 10


def test_strangers_hear_nothing_and_a_page_without_a_session_hears_so_and_stays(browser):
    assert browser().get("/pulse/").status_code == 302
    answer = browser().get("/pulse/", **AS_PART, HTTP_HX_CURRENT_URL="http://testserver/grants/")
    assert answer.status_code == 401
    assert answer.content.startswith(b"You are signed out.")
    assert answer["Location"] == "/sign-in/?next=/grants/"
    assert "HX-Redirect" not in answer


def test_pages_find_the_stream_below_their_own_address_or_at_its_port(as_bob, settings):
    assert 'sse-connect="/streams/changes"' in read(as_bob, "/")
    settings.STREAMS_DIRECT_PORT, settings.STREAMS_ORIGINS = 8001, {"http://testserver"}
    assert 'sse-connect="http://testserver:8001/streams/changes"' in read(as_bob, "/")
    settings.STREAMS_ORIGINS, settings.ALLOWED_HOSTS = {"http://[::1]:8000"}, ["[::1]"]
    page = as_bob.get("/", headers={"Host": "[::1]:8000"}).content.decode()
    assert 'sse-connect="http://[::1]:8001/streams/changes"' in page
    settings.ALLOWED_HOSTS = ["testserver"]
    settings.STREAMS_ORIGINS = {"http://elsewhere"}
    assert 'sse-connect="/streams/changes"' in read(as_bob, "/")


def test_a_live_page_asks_for_itself_and_the_answer_to_a_form_does_not(world, as_bob):
    asked = world.request()
    assert 'data-live="request' in read(as_bob, "/")
    assert 'hx-get="/grants/?show=all&amp;before=9"' in read(as_bob, "/grants/?show=all&before=9")
    assert 'hx-get="/grants/"' in read(as_bob, "/grants/?read=what")
    refused = as_bob.post(f"/approvals/{asked.ref}/decide/", {"verdict": "deny", "digest": asked.digest})
    assert "data-live" not in refused.content.decode()


def test_where_no_proxy_routes_the_stream_browsers_are_told_to_stop_asking(browser):
    assert browser().get("/streams/changes").status_code == 204
