"""Running commands from the page of a grant, as far as it needs no gateway."""

import datetime as dt
import re

import pytest
from django.conf import settings

from sessions_app.models import CommandOrder, CommandRun
from sessions_app.operations.sessions.fail_order import fail_order
from sessions_app.operations.sessions.order_command import LAPSES
from sessions_app.operations.sessions.watch_run import watch_run
from sessions_app.queries.record.recording_files import recording_path
from tests.sessions_app.web.grants.test_grants import finish
from tests.support.world import acts
from tests.support.world.reading import answered, read, says


def run(client, grant, index: int = 0, **form):
    return client.post(f"/grants/{grant.ref}/run/", {"index": index, "target": "web-1", **form})


def page_of(client, grant, query: str = "") -> str:
    return read(client, f"/grants/{grant.ref}/{query}")


def test_each_allowed_command_has_a_form_with_fields_that_fit(grant, as_alice):
    page = page_of(as_alice, grant)
    assert page.count(f'action="/grants/{grant.ref}/run/"') == 5
    assert re.search(r'name="v.1.lines"[^>]*type="number"[^>]*min="1" max="1000"', page)
    assert "needs a second person" in page


def test_the_form_is_for_the_holder_alone_and_only_while_the_grant_lasts(world, grant, as_alice, as_bob):
    assert "/run/" not in page_of(as_bob, grant)
    old = world.grant(now=world.now - dt.timedelta(hours=2))
    assert "/run/" not in page_of(as_alice, old)


def test_a_refused_value_is_said_beside_its_form_which_keeps_what_was_typed(grant, as_alice):
    page = answered(run(as_alice, grant, 1, **{"v.1.lines": "5000"}), 403)
    says(page, "Not allowed: lines", 'value="5000"')


@pytest.mark.parametrize(
    "form", [{"index": "x"}, {"index": "99"}, {"index": "-1"}, {"index": "1"}, {"target": "db-1"}]
)
def test_what_is_no_command_of_the_grant_is_refused_beside_the_form(grant, as_alice, form):
    answer = as_alice.post(f"/grants/{grant.ref}/run/", {"index": "0", "target": "web-1", **form})
    assert answer.status_code == 400
    assert not CommandOrder.objects.exists()


def test_others_run_nothing(grant, as_bob, as_charlie, browser):
    for client in (as_bob, as_charlie, browser("admin")):
        assert run(client, grant).status_code == 404
    assert not CommandOrder.objects.exists()


def test_an_order_that_came_to_nothing_says_why(grant, as_alice, now):
    for _ in range(3):
        run(as_alice, grant)
    lapsed, failed, lost = CommandOrder.objects.order_by("pk")
    CommandOrder.objects.filter(pk=lapsed.pk).update(lapses_at=now - LAPSES)
    fail_order(order_id=failed.pk, error="The access is over.", now=now)
    CommandOrder.objects.filter(pk=lost.pk).update(claimed_at=now - dt.timedelta(minutes=1))
    page = page_of(as_alice, grant)
    says(page, "no gateway picked it up in time", "The access is over.", "stopped before running it")


def test_when_the_order_has_a_run_its_output_is_open_while_it_runs(grant, opened, as_alice, now):
    run(as_alice, grant)
    order = CommandOrder.objects.get()
    tried = acts.run(*opened, order.line, order_id=order.pk, now=now)
    path = settings.RECORDINGS_DIR / recording_path(grant.ref, tried.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"version": 2}\n[0.1, "o", "so far\\r\\n"]\n')
    page = page_of(as_alice, grant, f"?order={order.pk}")
    assert "so far" in page
    assert "Waiting for a gateway" not in page
    url = f"/grants/{grant.ref}/runs/{tried.run_id}/output/"
    size = path.stat().st_size
    assert f'hx-get="{url}?size={size}"' in page
    assert as_alice.get(f"{url}?size={size}").status_code == 204
    path.write_text(path.read_text() + '[0.2, "o", "and more"]\n')
    assert b"and more" in as_alice.get(f"{url}?size={size}").content


def test_output_is_not_read_without_an_entry_but_by_who_prints_it(grant, opened, as_alice, as_bob, now):
    """By either page, once per visit. Holders read what is running without one."""
    tried = acts.run(*opened, now=now)
    path = settings.RECORDINGS_DIR / recording_path(grant.ref, tried.run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('{"version": 2}\n[0.1, "o", "so far\\r\\n"]\n')
    output, opened_page = f"/grants/{grant.ref}/runs/{tried.run_id}/output/", f"?open={tried.run_id}"
    assert b"so far" in as_alice.get(output).content
    assert "so far" not in page_of(as_bob, grant)
    assert acts.events(grant.ref).count("recording.watched") == 0
    assert b"so far" in as_bob.get(output).content
    assert acts.events(grant.ref).count("recording.watched") == 1
    finish(tried.run_id, "a secret", now)
    assert b"a secret" in as_bob.get(output).content
    entry = acts.last("recording.watched", grant.ref)
    assert (entry.actor, entry.data["run"]) == ("bob", tried.run_id)
    assert "a secret" in page_of(as_bob, grant, opened_page)
    assert acts.events(grant.ref).count("recording.watched") == 1


def test_a_running_command_can_be_watched_live_by_all_who_see_it_and_ended_there(
    grant, opened, as_alice, as_bob, as_charlie, now
):
    tried = acts.run(*opened, now=now)
    url = f"/grants/{grant.ref}/runs/{tried.run_id}/watch/"
    for client in (as_alice, as_bob):
        assert f'hx-get="{url}"' in page_of(client, grant)
    assert as_charlie.get(url).status_code == 404
    part = as_bob.get(url, headers={"HX-Request": "true", "HX-Current-URL": "http://testserver/grants/"})
    says(
        part.content.decode(),
        f"/streams/terminal?run={tried.run_id}",
        f'action="/grants/{grant.ref}/end/"',
        'name="next" value="/grants/"',
    )
    assert b"<html" not in part.content
    finish(tried.run_id, "a secret", now)
    assert url not in page_of(as_bob, grant)
    says(read(as_bob, url), "not running", f"/recordings/{tried.run_id}/")


def test_the_holder_sees_who_watches(world, grant, opened, as_alice, now):
    tried = acts.run(*opened, now=now)
    assert "Watching now" not in page_of(as_alice, grant)
    watch_run(run_id=tried.run_id, actor=world.bob, channel="one", now=now)
    says(page_of(as_alice, grant), "Watching now", "Bob")


def test_who_may_end_the_grant_ends_one_command_from_its_live_view(grant, opened, as_bob, as_charlie, now):
    tried = acts.run(*opened, now=now)
    here = f"/grants/{grant.ref}/runs/{tried.run_id}"
    says(read(as_bob, f"{here}/watch/"), "End this command", f'action="{here}/stop/"')
    assert as_charlie.post(f"{here}/stop/").status_code == 404
    assert as_bob.post(f"{here}/stop/", {"next": f"{here}/watch/"})["Location"] == f"{here}/watch/"
    assert "was ended" in read(as_bob, f"{here}/watch/")
    assert acts.last("command.stopped", grant.ref).actor == "bob"


def test_a_run_of_another_grant_has_no_output_under_this_one(world, grant, opened, as_alice, now):
    tried = acts.run(*opened, now=now)
    other = world.grant(parameters={"unit": "haproxy"})
    assert as_alice.get(f"/grants/{other.ref}/runs/{tried.run_id}/output/").status_code == 404


def test_a_refused_command_can_be_asked_for_with_a_set_that_allows_it(grant, opened, as_alice, as_bob, now):
    acts.run(*opened, "echo restart haproxy", now=now)
    acts.run(*opened, "rm -rf /", now=now)
    page = page_of(as_alice, grant)
    asks = re.findall(r'href="/requests/new/\?([^"]+)"', page)
    assert "cluster=web&amp;target=web-1" in asks
    assert "cluster=web&amp;target=web-1&amp;set=restart-web&amp;p.unit=haproxy" in asks
    assert "Request this command" not in page_of(as_bob, grant)


def test_the_holder_reminds_and_withdraws_what_is_held(world, grant, opened, as_alice, as_bob, now):
    tried = acts.run(*opened, "echo stop nginx", now=now)
    url = f"/grants/{grant.ref}/runs/{tried.run_id}"
    page = page_of(as_alice, grant)
    assert f'action="{url}/remind/"' in page
    assert "Allow once" not in page
    assert "Remind approvers" not in page_of(as_bob, grant)
    assert as_alice.post(f"{url}/remind/").status_code == 409
    assert as_bob.post(f"{url}/withdraw/").status_code == 404
    as_alice.post(f"{url}/withdraw/")
    assert CommandRun.objects.get(pk=tried.run_id).state == "withdrawn"
    assert "<b>Withdrawn</b> by the holder" in page_of(as_alice, grant)


def test_a_file_has_the_line_of_its_client_beside_its_form(world, as_alice):
    text = world.catalog["command-sets/restart-web.yaml"]
    rules = "  - {get: /srv/a}\n  - {put: /srv/b}\n  - {list: /srv}\n"
    acts.change(
        world, {"command-sets/restart-web.yaml": text.replace("commands:\n", f"commands:\n{rules}", 1)}
    )
    grant = world.grant()
    page = page_of(as_alice, grant)
    port, place = settings.SSH_GATEWAY_PORT, f"web-1@{settings.SSH_PUBLIC_HOST}"
    says(
        page,
        f"scp -P {port} {place}:/srv/a .",
        f"scp -P {port} FILE {place}:/srv/b",
        f"sftp -P {port} {place}",
    )
    says(page, "Download the file /srv/a, at most 100 MB")
    assert page.count(f'action="/grants/{grant.ref}/run/"') == 5
