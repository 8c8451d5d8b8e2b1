"""What every page has in common: the policy of what may run, the frame, and no page that tells more than it
should.
"""

import hashlib
import re

import pytest
from django.test import Client

from broker.settings import BASE_DIR
from sessions_app.web.home import home
from tests.support.servers.issuer import trust_file
from tests.support.servers.receiver import webhook_file
from tests.support.world import acts
from tests.support.world.reading import answered, read

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
        "/",
        "/more/",
        "/search/?q=web",
        "/requests/?show=all",
        "/requests/new/",
        "/requests/new/?kind=break_glass",
        "/requests/new/?p.unit=nginx&for=9h",
        "/approvals/",
        "/grants/?show=all",
        "/clusters/",
        "/clusters/web/",
        "/command-sets/",
        "/command-sets/restart-web/",
        "/policies/",
        "/policies/web-work/",
        "/account/",
        "/people/",
        "/people/alice/",
        "/timeline/",
        "/timeline/?view=table",
        "/who-can/?cluster=web&set=restart-web",
        "/record/",
        "/notices/",
        "/nothing-here/",
    ]
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
            page = read(client, url)
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
        page = read(as_bob, url)
        for form in re.findall(r"<form[^>]*method=\"post\".*?</form>", page, re.DOTALL):
            assert "csrfmiddlewaretoken" in form, url


def test_every_icon_is_in_the_sprite(addresses, as_alice):
    sprite = b"".join(Client().get("/static/icons.svg").streaming_content).decode()
    for url in addresses:
        for name in re.findall(r"icons\.svg#([\w-]*)", read(as_alice, url)):
            assert f'id="{name}"' in sprite, name


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
    scripts = [path for path in vendor.parent.rglob("*.*js") if "xterm" not in path.parts]
    assert 0 < sum(path.stat().st_size for path in scripts) <= 150_000


def test_navigation_leads_to_what_one_has_to_do_with_and_to_no_list_that_stays_empty(world, browser):
    world.catalog |= webhook_file(None, owners={"groups": ["approvers"]})
    world.catalog |= trust_file()
    world.apply()
    every = ("/sources/", "/webhooks/", "/trust-policies/")
    for name, theirs in (
        ("admin", every),
        ("bob", ("/webhooks/",)),
        ("alice", ("/trust-policies/",)),
        ("charlie", ()),
    ):
        page = read(browser(name), "/")
        side = page[page.index('<nav class="side"') : page.index('<header class="top"')]
        assert tuple(url for url in every if f'href="{url}"' in side) == theirs, name


def test_the_chosen_theme_comes_from_a_cookie_and_nothing_else(as_alice):
    as_alice.cookies["stint_theme"] = "dark"
    assert '<html lang="en" data-theme="dark">' in read(as_alice, "/")
    as_alice.cookies["stint_theme"] = 'x"><script>'
    assert '<html lang="en">' in read(as_alice, "/")


def test_error_pages_say_what_to_do(as_alice, settings):
    assert "Not found" in read(Client(), "/nothing/")
    assert "This page doesn't exist, or you don't have access" in read(as_alice, "/nothing/")
    settings.ALLOWED_HOSTS = ["stint.example"]
    assert "Bad request" in answered(Client().get("/"), 400)


def test_a_page_that_breaks_is_said_and_tells_nothing(browser, monkeypatch):
    def broken(*args):
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(home, "read_home", broken)
    answer = browser("alice", raise_request_exception=False).get("/")
    assert answer.status_code == 500
    assert "Something went wrong" in answer.content.decode()
    assert "secret detail" not in answer.content.decode()


def test_every_brace_of_the_stylesheet_is_closed_where_its_layer_ends():
    css = (BASE_DIR / "broker" / "static" / "stint.css").read_text()
    bare = re.sub(r'/\*.*?\*/|"[^"\n]*"', "", css, flags=re.DOTALL)
    for number, layer in enumerate(re.split(r"^@layer ", bare, flags=re.MULTILINE)):
        assert layer.count("{") == layer.count("}"), f"layer {number}: {layer[:60]}"
