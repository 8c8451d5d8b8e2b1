"""Forms that could not be taken: what was typed is not lost, and what others send is not shown."""

import re

import pytest

from sessions_app.models import AccessRequest, Comment
from tests.support.world.reading import answered, says

OURS = {"Origin": "http://testserver"}
TYPED = {"text": "Is the <backup> done?\r\nI read nothing of it.", "page": "request"}


@pytest.fixture
def thread(world) -> str:
    return f"/requests/{world.request().ref}/comment/"


def kept(page: str) -> dict[str, str]:
    """What the page would send again."""
    found = re.findall(r'<input type="hidden"\s+name="([^"]+)" value="([^"]*)">', page)
    return {name: value for name, value in found if name != "csrfmiddlewaretoken"}


def test_who_is_signed_out_while_typing_signs_in_and_sends_it_again(browser, thread):
    page = answered(browser().post(thread, TYPED, headers=OURS), 401)
    assert "You are signed out" in page
    assert kept(page) == {"text": "Is the &lt;backup&gt; done?\r\nI read nothing of it.", "page": "request"}
    says(page, f'action="{thread}"', 'href="/sign-in/" target="_blank"')
    assert not Comment.objects.exists()


def test_a_form_with_an_old_token_is_sent_again_with_a_new_one(browser, thread):
    client = browser("alice", enforce_csrf_checks=True)
    page = answered(client.post(thread, TYPED, headers=OURS), 403)
    assert "This form has expired" in page
    assert not Comment.objects.exists()
    token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[-1]
    client.post(thread, {**TYPED, "csrfmiddlewaretoken": token}, headers=OURS)
    assert Comment.objects.get().text.split() == TYPED["text"].split()


@pytest.mark.parametrize("headers", [{}, {"Origin": "https://elsewhere.example"}, {"Origin": "null"}])
def test_what_another_site_sends_is_neither_shown_nor_offered(browser, thread, headers):
    page = browser("alice", enforce_csrf_checks=True).post(thread, TYPED, headers=headers).content.decode()
    assert "Nothing was changed" in page
    assert "backup" not in page
    answer = browser().post(thread, TYPED, headers=headers)
    assert (answer.status_code, answer.content) == (302, b"")


def test_what_is_secret_is_not_put_into_a_page_once_more(browser):
    client = browser("alice", enforce_csrf_checks=True)
    for form in (
        {"old_password": "correct horse"},
        {"connection.token": "s3cret-correct"},
        {"token": "correct.jwt"},
        {"v.2.secret.note": "correct"},
    ):
        page = client.post("/account/password/", form, headers=OURS).content.decode()
        assert "Nothing was changed" in page
        assert "correct" not in page


def test_a_part_that_asks_while_one_types_does_not_take_the_form_away(browser):
    answer = browser().post("/requests/preview/", {"reason": "typed"}, headers={"HX-Request": "true", **OURS})
    assert answer.status_code == 401
    assert answer.content.startswith(b"You are signed out.")
    assert not AccessRequest.objects.exists()
