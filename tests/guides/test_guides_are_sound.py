"""What holds for the text of every guide: its blocks are of known kinds, its links lead somewhere, and it is
on the shelf.
"""

import re

import pytest
from django.test import Client
from markdown_it import MarkdownIt

from sessions_app.web.docs.guides_page import SHELVES, guide_page, reference, reference_page
from tests.environment import ROOT
from tests.support.world.guides import builds_on, fences, guides, source

# What a block may be, and by what it is followed in `test_guides_do_what_they_say.py`: yaml and console are
# applied and run, and so is sql; json is parsed. `text` shows an answer or a shape, so nothing in it can be
# typed.
LANGUAGES = {"yaml", "console", "sql", "json", "text"}
OPTIONS = {"as", "status", "over", "database", "file", "no-run", "on", "start", "reason", "job"}
# What can't run in a test, with its reason: this list grows by a decision, not by itself.
NOT_RUN = {
    "cli": ["installs into the machine"],
    "deploying": ["needs container tools", "needs a Kubernetes cluster"],
    "evidence": [
        "needs an archive",
        "needs entries that are older than 90 days",
        "needs an archive",
        "ends every grant of a restored database",
    ],
    "first-ssh-target": ["keeps running", "installs into the machine"],
    "high-availability": ["needs a second server"],
    "installation": ["installs packages"],
    "kubernetes": ["needs a Kubernetes cluster"],
    "monitoring": ["needs a collector"],
    "upgrading": ["needs systemd", "needs an earlier version", "needs a Kubernetes cluster"],
}


def test_every_guide_is_on_one_shelf():
    assert sorted(name for names in SHELVES.values() for name in names) == guides()


@pytest.mark.parametrize("name", guides())
def test_every_block_is_of_a_kind_that_is_followed(name):
    for fence in fences(name):
        assert fence.language in LANGUAGES, fence.place
        assert fence.options.keys() <= OPTIONS, fence.place
        if fence.language == "text":
            assert not re.search(r"^\s*\$ ", fence.text, re.MULTILINE), (
                f"{fence.place}: commands are a console"
            )


def test_what_is_not_run_is_known_with_its_reason():
    found: dict[str, list[str]] = {}
    for name in guides():
        for fence in fences(name):
            if "no-run" in fence.options:
                assert fence.options.get("reason"), f"{fence.place}: say why it does not run"
                found.setdefault(name, []).append(fence.options["reason"])
    assert found == NOT_RUN


@pytest.mark.parametrize("name", guides())
def test_a_guide_with_commands_says_what_you_need_first_and_what_you_have_and_where_to_go_at_its_end(name):
    titles = [section.title for section in guide_page(name).guide.contents]
    if any(fence.language == "console" for fence in fences(name)):
        last = source(name).partition("## What you have now\n")[2]
        assert titles[0] == "What you need" or source(name).index("## What you need") < source(name).index(
            "```"
        )
        assert re.search(r"^.*\bNext: .*\]\(/docs/|^1\. .*\]\(/docs/", last, re.MULTILINE), last


def test_a_guide_comes_after_those_that_it_builds_on():
    order = [name for names in SHELVES.values() for name in names]
    for name in order:
        assert all(order.index(base) < order.index(name) for base in builds_on(name)), name


@pytest.mark.parametrize("name", guides())
def test_every_link_inside_leads_to_a_page_and_a_place_on_it(name, db):
    for link in _links(name):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        if document := document_at(path or f"/docs/{name}/"):
            assert not anchor or f' id="{anchor}"' in document.html, f"{name}: {link}"
            continue
        assert not anchor, f"{name}: {link}"
        assert Client().get(path).status_code in (200, 302), f"{name}: {link} leads nowhere"


def document_at(path):
    """The document of a guide or of a page of the reference; None for another address."""
    found = re.fullmatch(r"/docs/(reference/)?([a-z-]+)/", path)
    page = found and (reference_page(found[2]) if found[1] else guide_page(found[2]))
    return page and (page.document if found[1] else page.guide.document)


@pytest.mark.parametrize("page", reference(), ids=lambda page: page.name)
def test_every_link_in_the_reference_leads_to_a_page_and_a_place_on_it(page, db):
    for link in re.findall(r'<a href="([^"]+)"', page.document.html):
        path, _, anchor = link.partition("#")
        document = document_at(path) if path else page.document
        assert document or Client().get(path).status_code == 200, link
        assert not anchor or f' id="{anchor}"' in document.html, link


def test_every_page_that_names_a_guide_names_one_that_is_there(db):
    named = {
        (path.name, *found)
        for path in (ROOT / "templates").rglob("*.html")
        for found in re.findall(
            r'_guide.html" with guide="([a-z-]+)"(?: at="#([a-z0-9-]+)")?', path.read_text()
        )
    }
    assert named
    for template, name, anchor in named:
        answer = Client().get(f"/docs/{name}/")
        assert answer.status_code == 200, (template, name)
        assert not anchor or f' id="{anchor}"' in answer.content.decode(), (template, name, anchor)


def test_every_message_in_the_guide_to_troubleshooting_is_one_of_stints():
    cells = re.findall(r"^\| (`.+?) \| ", source("troubleshooting"), re.MULTILINE)
    messages = [message for cell in cells for message in re.findall(r"`([^`]+)`", cell)]
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("accounts", "broker", "sessions_app")
        for path in (ROOT / folder).rglob("*.py")
    )
    assert messages
    assert [message for message in messages if message not in code] == []


def _links(name: str) -> list[str]:
    return [
        str(child.attrs["href"])
        for token in MarkdownIt("commonmark").enable("table").parse(source(name))
        for child in token.children or ()
        if child.type == "link_open"
    ]
