"""The filters of the timeline apply at once in a browser with a script."""

import re

from playwright.sync_api import expect


def test_a_filter_applies_when_it_is_chosen_and_keeps_the_focus(live_world, visit):
    live_world.grant()
    live_world.grant(who=live_world.deployer)
    bob = visit("bob")
    bob.goto("/timeline/")
    bars = bob.locator(".gantt .bar")
    expect(bars).to_have_count(2)
    person = bob.get_by_label("Person or machine")
    person.fill("alice")
    bob.get_by_label("State").focus()
    expect(bars).to_have_count(1)
    expect(bob).to_have_url(re.compile("person=alice"))
    state = bob.get_by_label("State")
    state.select_option("ended")
    expect(bob.locator("main")).to_contain_text("Nothing in this period")
    expect(state).to_be_focused()
    # An update of the page keeps the filters.
    bob.evaluate("htmx.trigger('#page', 'look')")
    expect(bob.locator("#page")).to_have_attribute("hx-get", re.compile("person=alice.*state=ended"))
    expect(bob.locator("main")).to_contain_text("Nothing in this period")
    bob.get_by_role("link", name="Clear").click()
    expect(bars).to_have_count(2)
    without = visit("bob", java_script_enabled=False)
    without.goto("/timeline/")
    without.get_by_label("State").select_option("ended")
    without.get_by_role("button", name="Apply").click()
    expect(without.locator("main")).to_contain_text("Nothing in this period")
