"""Reads pages as text."""

from django.http import HttpResponse
from django.test import Client


def read(client: Client, url: str) -> str:
    """Return the text of the page at an address."""
    return client.get(url).content.decode()


def says(page: str, *texts: str) -> None:
    """Fail if some of the texts are not in a page, and show which."""
    missing = [text for text in texts if text not in page]
    assert not missing, f"the page does not say {missing}"


def says_nothing_of(page: str, *texts: str) -> None:
    """Fail if some of the texts are in a page, and show which."""
    found = [text for text in texts if text in page]
    assert not found, f"the page says {found}"


def answered(answer: HttpResponse, status: int) -> str:
    """Return the page of a response, which must have this status."""
    assert answer.status_code == status
    return answer.content.decode()
