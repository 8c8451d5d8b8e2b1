"""Pages as people read them."""

from django.http import HttpResponse
from django.test import Client


def read(client: Client, url: str) -> str:
    """The page at an address."""
    return client.get(url).content.decode()


def says(page: str, *texts: str) -> None:
    """Fail with those of the texts that are not in a page."""
    missing = [text for text in texts if text not in page]
    assert not missing, f"the page does not say {missing}"


def says_nothing_of(page: str, *texts: str) -> None:
    """Fail with those of the texts that are in a page."""
    found = [text for text in texts if text in page]
    assert not found, f"the page says {found}"


def answered(answer: HttpResponse, status: int) -> str:
    """The page of an answer, which has this status."""
    assert answer.status_code == status
    return answer.content.decode()
