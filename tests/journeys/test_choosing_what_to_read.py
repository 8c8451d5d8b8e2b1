"""A holder of a `select` command chooses what to read in a browser, with and without JavaScript."""

import pytest
from playwright.sync_api import Page, expect

from sessions_app.connectors.fake import FakeConnector
from sessions_app.models import CommandOrder
from tests.journeys.test_every_page_is_accessible import inaccessible
from tests.sessions_app.gateways.postgres.test_admission import apply_orders, started
from tests.support.browser.fits import misfits
from tests.support.world.fakes import serving

SET = """
name: fix-orders
kind: postgres
summary: Fix orders
risk: high
schema: app
commands:
  - sql: UPDATE app.orders SET note = {note} WHERE id = {id}
    where: {id: {int: [1, 9]}, note: {pattern: "[a-z]{1,9}"}}
    secret: [note]
    effect: change
  - select:
      tables: [app.orders, app.customers]
      columns: [orders.id, orders.status, orders.total, customers.id, customers.name]
      where: required
      limit: 100
    effect: read
"""


@pytest.fixture
def grant(live_world):
    apply_orders(live_world, SET)
    fake = FakeConnector(kind="postgres")
    with serving(lambda: fake, kind="postgres"):
        yield started(live_world)


@pytest.mark.parametrize("script", [True, False])
def test_a_select_is_composed_from_what_was_chosen(grant, visit, script):
    alice: Page = visit("alice", java_script_enabled=script)
    alice.goto(f"/grants/{grant.ref}/")
    form = alice.locator("form", has=alice.get_by_label("Condition 1: column"))
    expect(form.get_by_label("status")).to_be_visible()
    expect(form.get_by_label("name")).to_be_hidden()
    form.get_by_label("app.customers").check()
    expect(form.get_by_label("status")).to_be_hidden()
    form.locator(".pick", has_text="app.customers").get_by_label("id", exact=True).uncheck()
    form.get_by_label("Condition 1: column").select_option(label="name")
    form.get_by_label("Condition 1: operator").select_option("LIKE")
    form.get_by_label("Condition 1: value").fill("O'H%")
    form.get_by_text("Order", exact=True).click()
    form.get_by_label("Sort by").select_option(label="name")
    form.get_by_label("Rows").fill("5")
    form.get_by_role("button", name="Run").click()
    line = "SELECT name FROM app.customers WHERE name LIKE 'O''H%' ORDER BY name ASC LIMIT 5"
    expect(alice.locator("#log")).to_contain_text(line)
    assert CommandOrder.objects.get().line == line


def test_the_forms_fit_and_are_accessible(grant, visit):
    alice: Page = visit("alice", forgiven="400")
    alice.goto(f"/grants/{grant.ref}/")
    assert misfits(alice) == []
    form = alice.locator("form", has=alice.get_by_label("Condition 1: column"))
    form.get_by_label("Condition 1: value").fill("7")
    form.get_by_role("button", name="Run").click()
    expect(alice.get_by_text("Choose the column to compare with the value")).to_be_visible()
    assert inaccessible(alice) == []
