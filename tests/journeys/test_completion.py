"""Completion in the YAML editors: what is suggested at the cursor, and the keys that take it."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import axe

# Puts the cursor at the bar in a text, and opens the list.
AT = """(field, text) => {
  field.focus();
  field.value = text.replace('|', '');
  field.setSelectionRange(text.indexOf('|'), text.indexOf('|'));
}"""
SET = "kind: ssh\n"
SHOWN = [
    ("policies", "|", ["name", "clusters", "command_sets"]),
    ("policies", "name: x\ncl|\nsummary: y", ["clusters"]),
    ("policies", "clusters: [|]", ["web"]),
    ("policies", "clusters:\n  - w|", ["web"]),
    ("policies", "clusters:\n- w|", ["web"]),
    ("policies", "requesters: {gr|", ["groups"]),
    ("policies", "requesters:\n  |\nmax_duration: 4h", ["groups", "identities"]),
    ("policies", "approvals:\n  - {count: 1, from: [app|", ["approvers"]),
    ("policies", "approvals:\n  - count: 1\n    |", ["from"]),
    ("policies", "extension: {times: 1, by: 1h, approvals: |}", ["none", "same"]),
    ("policies", "deviations:\n  limit: 3\n  people: |", ["hold", "end"]),
    ("command-sets", "kind: |", ["ssh", "postgres", "mariadb", "http", "kubernetes", "mcp"]),
    ("command-sets", "risk: m|", ["medium"]),
    ("command-sets", f"{SET}parameters:\n  unit: {{ch|", ["choice"]),
    ("command-sets", f"{SET}parameters:\n  unit:\n    |", ["choice", "int", "pattern"]),
    ("command-sets", f"{SET}parameters:\n  ticket: {{from: |", ["workflow.id"]),
    ("command-sets", f"{SET}commands:\n  - run: id\n    ho|", ["hold"]),
    ("command-sets", f"{SET}commands:\n  - run: id\n    where: {{lines: {{in|", ["int"]),
    ("command-sets", f"{SET}commands:\n  - run: id\n    effect: |", ["read", "change", "destructive"]),
    ("command-sets", "kind: postgres\ncommands:\n  - as: x\n    ru|", []),
    ("command-sets", f"{SET}commands:\n  - run: >-\n      ho|", []),
    ("command-sets", f"{SET}# ho|", []),
    ("command-sets", f'{SET}summary: "ri|', []),
]


def editor(page: Page, kind: str) -> Locator:
    page.goto({"policies": "/new/policy/", "command-sets": "/new/command-set/"}[kind])
    return page.locator("#source")


@pytest.mark.parametrize("kind", ["policies", "command-sets"])
def test_suggestions_are_what_fits_at_the_cursor(live_world, visit, kind):
    page = visit("admin")
    field = editor(page, kind)
    with page.expect_response("**/completions/**"):
        field.focus()
    found = {}
    for of, text, expected in SHOWN:
        if of == kind:
            field.evaluate(AT, text)
            field.press("Control+Space")
            texts = page.locator("#completions [role=option] b").all_inner_texts()
            found[text] = (texts[: len(expected)] if expected else texts, expected)
            field.press("Escape")
    assert {text: got for text, (got, expected) in found.items() if got != expected} == {}


def test_it_is_taken_by_the_keyboard_and_can_be_undone(live_world, visit):
    page = visit("admin")
    field = editor(page, "command-sets")
    with page.expect_response("**/completions/**"):
        field.focus()
    field.fill("")
    options = page.locator("#completions").get_by_role("option")
    page.keyboard.type("kin")
    expect(options).to_have_text("kind ")
    expect(field).to_have_attribute("aria-activedescendant", "completion-0")
    axe.load(page)
    assert axe.violations(page) == []
    # A key that has known values goes on with them.
    page.keyboard.press("Tab")
    expect(options.first).to_contain_text("ssh")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(field).to_have_value("kind: ssh\n")
    page.keyboard.type("com")
    page.keyboard.press("Enter")
    page.keyboard.type("ru")
    page.keyboard.press("Enter")
    expect(field).to_have_value("kind: ssh\ncommands:\n  - run: ")
    page.keyboard.press("Control+z")
    expect(field).not_to_have_value("kind: ssh\ncommands:\n  - run: ")
    # Closed by Escape, Tab leaves the editor.
    page.keyboard.type("r")
    page.keyboard.press("Escape")
    expect(options).to_have_count(0)
    page.keyboard.press("Tab")
    expect(field).not_to_be_focused()
