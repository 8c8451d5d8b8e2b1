"""What every page has in common: the policy of what may run, the frame, and no page that tells more than it should."""

from __future__ import annotations

import datetime as dt
import hashlib
import re

import pytest
from django.test import Client
from django.utils import timezone

from broker.settings import BASE_DIR
from sessions_app.web.shell.moment import one_moment
from sessions_app.web.templatetags.times import window
from tests.support.servers.issuer import trust_file
from tests.support.servers.receiver import webhook_file
from tests.support.world import acts

pytestmark = pytest.mark.slow

INLINE = re.compile(r"\sstyle=|<style|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:", re.IGNORECASE)


@pytest.fixture
def addresses(world, now) -> list[str]:
    """The pages of a world in which something happens."""
    grant = world.grant()
    used = acts.use(grant, now=now)
    session = acts.session(used, now=now)
    for line in ("echo restart nginx", "echo stop nginx", "echo restart sshd"):
        acts.run(used, session, line, now=now)
    glass = world.request(kind="break_glass", reason="Down").grant
    pending = world.request()
    fixed = [
        "/", "/more/", "/search/?q=web", "/requests/?show=all", "/requests/new/", "/requests/new/?kind=break_glass",
        "/requests/new/?p.unit=nginx&for=9h", "/approvals/", "/grants/?show=all", "/clusters/", "/clusters/web/",
        "/command-sets/", "/command-sets/restart-web/", "/policies/", "/policies/web-work/", "/account/", "/people/",
        "/people/alice/", "/timeline/", "/timeline/?view=table", "/who-can/?cluster=web&set=restart-web", "/record/", "/notices/", "/nothing-here/",
    ]  # fmt: skip
    objects = [
        f"/requests/{pending.ref}/",
        f"/approvals/{pending.ref}/",
        f"/grants/{grant.ref}/",
        f"/grants/{glass.ref}/",
    ]
    return [*fixed, *objects]


def test_no_page_has_anything_inline(addresses, browser):
    for person in ("alice", "bob", "charlie", "admin"):
        client = browser(person)
        for url in addresses:
            page = client.get(url).content.decode()
            assert not INLINE.search(page), (person, url, INLINE.search(page))
    for url in ("/sign-in/", "/sign-out/", "/sign-in/disabled/"):
        assert not INLINE.search(browser().get(url, follow=True).content.decode())


def test_every_page_forbids_what_is_not_ours(addresses, as_alice):
    for url in addresses:
        policy = as_alice.get(url)["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy


def test_every_form_that_acts_carries_its_token(addresses, as_bob):
    for url in addresses:
        page = as_bob.get(url).content.decode()
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", page, re.DOTALL):
            assert "csrfmiddlewaretoken" in form, url


def test_every_page_has_one_heading_a_title_and_a_way_past_the_frame(addresses, as_alice):
    for url in addresses:
        page = as_alice.get(url).content.decode()
        assert page.count("<h1") == 1, url
        assert "Stint</title>" in page
        assert 'href="#main"' in page
        ids = re.findall(r'\sid="([^"]+)"', page)
        assert len(ids) == len(set(ids)), (url, [one for one in ids if ids.count(one) > 1])


def test_every_field_has_a_label(addresses, browser):
    for person in ("alice", "bob", "admin"):
        client = browser(person)
        for url in addresses:
            page = client.get(url).content.decode()
            for field in re.findall(r"<(?:input|select|textarea)\b[^>]*\bid=\"([^\"]+)\"", page):
                assert f'for="{field}"' in page, (url, field)


def test_every_address_on_a_page_is_there(addresses, as_bob):
    seen: set[str] = set()
    for url in addresses:
        seen.update(re.findall(r'href="(/[^"#]*)', as_bob.get(url).content.decode()))
    for link in sorted(link for link in seen if not link.startswith("/static/")):
        assert as_bob.get(link.replace("&amp;", "&"), follow=True).status_code == 200, link
    statics = {link for link in seen if link.startswith("/static/")}
    assert {"/static/stint.css", "/static/favicon-waiting.svg"} <= statics
    for link in statics:
        assert Client().get(link).status_code == 200, link


def test_every_icon_is_in_the_sprite(addresses, as_alice):
    sprite = b"".join(Client().get("/static/icons.svg").streaming_content).decode()
    for url in addresses:
        for name in re.findall(r"icons\.svg#([\w-]*)", as_alice.get(url).content.decode()):
            assert f'id="{name}"' in sprite, name


def test_the_frame_counts_what_waits_for_me_alone(world, as_bob, as_alice):
    world.request()
    shown = '<span class="count" data-count="waiting">1<span class="vh"> waiting'
    assert as_bob.get("/record/").content.decode().count(shown) == 2
    assert shown not in as_alice.get("/record/").content.decode()
    assert as_alice.get("/record/").content.decode().count('data-count="waiting" hidden>0<') == 2


def test_title_and_icon_say_from_the_first_what_waits(world, as_bob, as_alice):
    world.request()
    assert "<title>(1) Record, Stint</title>" in as_bob.get("/record/").content.decode()
    assert '<link rel="icon" href="/static/favicon-waiting.svg"' in as_bob.get("/record/").content.decode()
    assert "<title>Record, Stint</title>" in as_alice.get("/record/").content.decode()
    assert '<link rel="icon" href="/static/favicon.svg"' in as_alice.get("/record/").content.decode()


def test_what_others_made_is_what_it_says_and_the_script_is_small():
    vendor = BASE_DIR / "broker" / "static" / "vendor"
    listed = {
        str((file.parent / name).relative_to(vendor)): digest
        for file in vendor.rglob("VENDOR")
        for digest, name in re.findall(r"^([0-9a-f]{64})  (\S+)$", file.read_text(), re.MULTILINE)
    }
    found = {
        str(path.relative_to(vendor)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in vendor.rglob("*")
        if path.is_file() and path.name != "VENDOR"
    }
    assert found == listed
    assert (vendor.parent / "stint.js").stat().st_size < 10_000


def test_navigation_shows_where_one_is(as_alice):
    for url, label in (
        ("/", "Home"),
        ("/requests/", "Requests"),
        ("/requests/new/", "Request access"),
        ("/grants/", "Grants"),
    ):
        page = as_alice.get(url).content.decode()
        side = page[page.index('<nav class="side"') : page.index('<header class="top"')]
        assert side.count('aria-current="page"') == 1
        assert re.search(rf'aria-current="page">.*?<span>{label}</span>', side), url


def test_navigation_leads_to_what_one_has_to_do_with_and_to_no_list_that_stays_empty(world, browser):
    world.catalogue |= webhook_file(None, owners={"groups": ["approvers"]})
    world.catalogue |= trust_file()
    world.apply()
    every = ("/sources/", "/webhooks/", "/trust-policies/")
    for name, theirs in (
        ("admin", every), ("bob", ("/webhooks/",)), ("alice", ("/trust-policies/",)), ("charlie", ()),
    ):  # fmt: skip
        page = browser(name).get("/").content.decode()
        side = page[page.index('<nav class="side"') : page.index('<header class="top"')]
        assert tuple(url for url in every if f'href="{url}"' in side) == theirs, name


def test_the_chosen_theme_comes_from_a_cookie_and_nothing_else(as_alice):
    as_alice.cookies["stint_theme"] = "dark"
    assert '<html lang="en" data-theme="dark">' in as_alice.get("/").content.decode()
    as_alice.cookies["stint_theme"] = 'x"><script>'
    assert '<html lang="en">' in as_alice.get("/").content.decode()


def test_times_are_said_in_the_readers_zone_with_utc_in_the_title(world, as_alice):
    world.alice.time_zone = "Asia/Tokyo"
    world.alice.save()
    request = world.request()
    page = as_alice.get(f"/requests/{request.ref}/").content.decode()
    assert re.search(r'<time datetime="[^"]+\+00:00" title="[\d-]+ [\d:]+ UTC">[^<]* JST</time>', page)


def test_a_time_over_midnight_is_said_with_both_days_also_today(at_noon):
    with timezone.override("UTC"), one_moment():
        said = re.sub("<[^>]+>", "", window(at_noon, at_noon + dt.timedelta(days=1)))
    assert said.startswith("Wed 25 Nov, 12:00 to Thu 26 Nov, 12:00")


def test_error_pages_say_what_to_do(as_alice, settings):
    assert "Not found" in Client().get("/nothing/").content.decode()
    assert "This page does not exist, or you do not have access" in as_alice.get("/nothing/").content.decode()
    settings.ALLOWED_HOSTS = ["stint.example"]
    refused = Client().get("/")
    assert refused.status_code == 400
    assert "Bad request" in refused.content.decode()


def test_a_page_that_breaks_is_said_and_tells_nothing(browser, monkeypatch):
    from sessions_app.web.home import home

    def broken(*args):
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(home, "read_home", broken)
    answer = browser("alice", raise_request_exception=False).get("/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()
    assert "secret detail" not in answer.content.decode()


def test_the_script_is_small_and_htmx_may_not_evaluate(as_alice):
    script = b"".join(Client().get("/static/stint.js").streaming_content)
    assert len(script) < 10_000
    page = as_alice.get("/").content.decode()
    assert '"allowEval": false' in page
    assert '"includeIndicatorStyles": false' in page


def test_the_lists_are_empty_with_words(as_charlie):
    for name, said in (
        ("/", "all caught up"),
        ("/approvals/", "all caught up"),
        ("/requests/", "No requests"),
        ("/grants/", "You have no grants"),
        ("/clusters/", "No clusters"),
        ("/command-sets/", "No command sets"),
        ("/policies/", "No policies"),
        ("/requests/new/", "You can't request access to any cluster yet"),
        ("/workflows/", "No clusters"),
        ("/incidents/", "No open incidents"),
        ("/sources/", "No sources"),
        ("/webhooks/", "No webhooks"),
        ("/trust-policies/", "No trust policies"),
        ("/timeline/", "Nothing in this period"),
        ("/timeline/?view=table", "Nothing in this period"),
        ("/recordings/", "No recordings yet"),
        ("/people/?q=nobody-of-this-name", "No matches"),
        ("/notices/", "You're all caught up"),
        ("/record/?actor=nobody", "No matching entries"),
    ):
        assert said in as_charlie.get(name).content.decode(), name


def test_every_brace_of_the_stylesheet_is_closed_where_its_layer_ends():
    css = (BASE_DIR / "broker" / "static" / "stint.css").read_text()
    bare = re.sub(r'/\*.*?\*/|"[^"\n]*"', "", css, flags=re.DOTALL)
    for number, layer in enumerate(re.split(r"^@layer ", bare, flags=re.MULTILINE)):
        assert layer.count("{") == layer.count("}"), f"layer {number}: {layer[:60]}"
