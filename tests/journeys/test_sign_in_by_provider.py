"""Sign-in with the company's identity provider, in a real browser, under the same strict
Content-Security-Policy as every page.
"""

import re

import pytest
from playwright.sync_api import expect

from tests.support.browser.axe import load, violations
from tests.support.browser.site import serve
from tests.support.servers.identity_provider import environment_of, provider_on_loopback


@pytest.mark.parametrize("scripts", [True, False], ids=["with scripts", "without scripts"])
def test_one_goes_to_the_provider_comes_back_to_where_one_was_going_and_signs_out(
    live_world, stint_db, tmp_path, chromium, scripts
):
    complaints: list[str] = []
    with provider_on_loopback() as provider:
        with serve({**stint_db.env, **environment_of(provider)}, tmp_path) as site:
            context = chromium.new_context(base_url=site, java_script_enabled=scripts)
            page = context.new_page()
            page.on(
                "console",
                lambda message: message.type == "error" and complaints.append(f"{page.url}: {message.text}"),
            )
            answer = page.goto("/requests/?show=all")
            assert "form-action 'self';" in f"{answer.headers['content-security-policy']};"
            expect(page.get_by_role("heading")).to_have_text("Sign in")
            if scripts:
                load(page)
                assert violations(page) == []
            page.get_by_role("button", name="Sign in with Okta").click()
            page.wait_for_url(re.compile(re.escape(provider.url)))
            page.get_by_role("link", name="I am alice@example.com").click()
            page.wait_for_url(f"{site}/requests/?show=all")
            page.goto("/account/")
            expect(page.locator("main")).to_contain_text(f"{provider.url} as alice@example.com")
            page.get_by_role("link", name="Sign out").first.click()
            page.get_by_role("button", name="Sign out").click()
            page.wait_for_url(f"{site}/sign-in/")
            page.goto("/requests/")
            assert page.url.startswith(f"{site}/sign-in/?next=")
            # Going back sends nothing: the answer was already used.
            page.goto("/sign-in/provider/answer/?state=x&code=y")
            expect(page.get_by_role("alert")).to_contain_text("already been used")
            if scripts:
                load(page)
                assert violations(page) == []
            context.close()
    # Only on Stint's pages; the provider has no favicon.
    assert [one for one in complaints if one.startswith(site) and "400" not in one] == []
