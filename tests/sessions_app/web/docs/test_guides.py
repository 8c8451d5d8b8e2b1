"""The guides as pages: reading, finding, and what Markdown may become."""

import re

import pytest
from django.test import Client

from sessions_app.web.docs.guides_page import guide_page, shelves
from sessions_app.web.docs.markdown import commands_of, read_document
from tests.support.world.reading import read, says, says_nothing_of

HEAD = "# Title\n\nWhat it is about.\n\n"


def test_all_guides_are_listed_and_each_leads_to_the_next(as_alice):
    index = read(as_alice, "/docs/")
    names = [guide.name for shelf in shelves() for guide in shelf.guides]
    for name, after in zip(names, [*names[1:], None], strict=True):
        page = guide_page(name)
        assert f'href="/docs/{name}/"' in index
        assert (page.after.name if page.after else None) == after
        answer = as_alice.get(f"/docs/{name}/")
        assert answer.status_code == 200
        assert all(f'href="#{section.anchor}"' in answer.content.decode() for section in page.guide.contents)


def test_who_is_signed_in_stays_in_the_frame_of_all_pages_and_strangers_are_led_to_sign_in(as_alice):
    mine, theirs = as_alice.get("/docs/").content, Client().get("/docs/").content
    assert b'<nav class="side"' in mine
    assert b'<nav class="side"' not in theirs
    assert b'href="/sign-in/?next=/docs/"' in theirs


@pytest.mark.parametrize("name", ["none-of-these", "concepts.md", "..", "_find"])
def test_a_guide_that_is_not_there_is_not_found(db, name):
    assert Client().get(f"/docs/{name}/").status_code == 404


def test_words_are_found_in_all_guides_and_lead_to_their_section(as_alice):
    page = as_alice.get("/docs/", {"q": "Host_KEY server's"}).content.decode()
    assert 'href="/docs/first-ssh-target/#describe-the-server"' in page
    assert "No results" not in page
    assert "No results" in as_alice.get("/docs/", {"q": "xyzzy \0 <b>"}).content.decode()


def test_raw_markup_is_text():
    html = read_document(
        f"{HEAD}<script>alert(1)</script>\n\n<b onclick=x>y</b> [x](javascript:alert(1))\n"
    ).html
    says_nothing_of(html, "<script", "<b ", 'href="javascript:')


def test_no_rendered_guide_has_a_style_a_script_or_two_places_of_one_name():
    for shelf in shelves():
        for guide in shelf.guides:
            html = guide.document.html
            assert not re.search(r"<script|\sstyle=|\son\w+=", html), guide.name
            places = re.findall(r'\sid="([^"]*)"', html)
            assert len(places) == len(set(places)), guide.name
            assert all(places), guide.name


def test_a_console_is_copied_without_prompts_and_answers():
    block = "$ stint status\nGR-7F3K\n$ stint ssh web-1 -- \\\n  systemctl restart nginx\nrestarted\n"
    assert commands_of(block) == "stint status\nstint ssh web-1 -- \\\n  systemctl restart nginx"
    html = read_document(f"{HEAD}```console\n{block}```\n\n```yaml\nname: x\n```\n").html
    says(html, 'data-copy="stint status\nstint ssh', 'data-copy="name: x\n"')


@pytest.mark.parametrize("source", ["", "No title", "# Title\n\n## At once\n", "## Small\n\nText\n"])
def test_a_guide_without_a_title_and_a_summary_is_refused(source):
    with pytest.raises(ValueError, match="title and a paragraph"):
        read_document(source)
