"""Every form of every page, with each of its fields left empty or filled with nonsense: it is said at the
field, in words, once.
"""

import datetime as dt
import re
from collections.abc import Iterator
from http import HTTPStatus

import pytest
from django.db import transaction
from django.http import HttpResponse
from django.test import Client

from broker.kernel import clock, recent
from sessions_app.models import GatewayNode
from tests.sessions_app.web.pages import STATES, addresses
from tests.support.breadth import some
from tests.support.browser.forms import TICKED, Control, Form, Page
from tests.support.world.factors import just_signed_in
from tests.support.world.scene import make_scene

pytestmark = pytest.mark.slow

# Longer than any field takes, of no form that any of them has.
NONSENSE = "?! " * 2_500
# What only who writes Stint would understand.
JARGON = re.compile(
    r"\bparameters\.|\[a-z|\[0-9|\\d|\^\(|Input should|Value error|validation error|Field required|not a"
    r" valid|"
    r"ensure (that )?this value|Select a valid choice|\bpydantic|\bdict(ionary)?\b|Traceback"
)
# What is typed into these never stands in a page again: it opens something, or is good once.
SECRET = {"token", "code", "passkey"}
# Fields that are one to whoever fills them in: what is wrong with one may be said of the other.
COMPANIONS = {
    **{
        f"{of}{part}": [f"{of}{other}"]
        for of in ("", "from_", "to_")
        for part, other in (("day", "hour"), ("hour", "day"))
    },
    "new": ["again"],
    "duration": ["other_duration"],
    "incident": ["other_workflow"],
    # A stored secret is not sent anywhere new.
    **{
        part: ["connection.token"]
        for part in ("connection.path", "connection.host", "connection.ca", "t0.port")
    },
}


@pytest.fixture
def scene(db, tmp_path):
    made = make_scene(clock.now(), tmp_path, extremes=False)
    # Trying all forms takes longer than a gateway's lease, and commands are allowed at a gateway that runs.
    GatewayNode.objects.update(seen_at=made.now + dt.timedelta(hours=1))
    return made


@pytest.mark.parametrize("who", ["alice", "bob", "admin"])
def test_every_form_says_what_is_wrong_at_the_field_and_loses_nothing(scene, who):
    client = Client()
    just_signed_in(client, getattr(scene.world, who))
    wrong, refused = [], 0
    for page, form in _forms(scene, client, who):
        for button in dict.fromkeys(form.buttons):
            as_it_stands = _send(client, form, form.data(), button)
            for name, sent in _attempts(form):
                answer = _send(client, form, sent, button)
                refused += answer.status_code >= 400
                free = as_it_stands.status_code >= 400
                wrong += [
                    f"{page} {form.action} {button[1]} {name}={sent[name][:1]!r:.10}: {fault}"
                    for fault in _faults(answer, form, name, sent, free=free)
                ]
    assert refused > 15
    assert not wrong, "\n".join(wrong)


def _forms(scene, client: Client, who: str) -> Iterator[tuple[str, Form]]:
    """Each form that somebody may send, once for each set of fields, with the page on which it stands."""
    seen = set()
    for page, urls in addresses(scene, who).items():
        for url in urls[:1] if page in STATES else urls:
            answer = client.get(url)
            if not answer.get("Content-Type", "").startswith("text/html"):
                continue
            for form in Page(answer.content.decode()).posts():
                form.action = form.action or url
                key = (re.sub(r"[A-Z]+-\w+|\d+", "", form.action.partition("?")[0]), *form.names)
                if form.names and key not in seen:
                    seen.add(key)
                    yield page, form


def _attempts(form: Form) -> Iterator[tuple[str, dict[str, list[str]]]]:
    """What the form sends with one field empty, or with nonsense in it; of a list one can't choose what is
    not in it.
    """
    for turn, name in enumerate(form.names):
        kind = form.of(name)[0].kind
        if re.match(r"t[1-9]|pasted$", name):
            # The rows of a list of targets are alike, and pasted ones become such rows.
            continue
        if kind in TICKED:
            yield name, {**form.data(), name: []}
        elif kind != "select":
            yield from ((name, {**form.data(), name: [value]}) for value in some(("", NONSENSE), turn))


def _send(client: Client, form: Form, sent: dict[str, list[str]], button: tuple[str, str]) -> HttpResponse:
    """The answer to a form, of which nothing stays."""
    recent.forget()
    client.cookies.pop("messages", None)
    with transaction.atomic():
        answer = client.post(form.action, {**sent, **({button[0]: [button[1]]} if button[0] else {})})
        transaction.set_rollback(True)
    return answer


def _faults(answer, form: Form, name: str, sent: dict[str, list[str]], *, free: bool) -> Iterator[str]:
    """What is wrong with an answer to a form; ``free``: it is refused as it stands as well, perhaps for
    another field.
    """
    if answer.status_code < 400 or answer.status_code == HTTPStatus.TOO_MANY_REQUESTS:
        return
    page = Page(answer.content.decode())
    if answer.status_code >= 500 or (found := JARGON.search(page.shown)):
        yield (
            f"is answered with {answer.status_code}"
            f" {found and page.shown[found.start() - 60 : found.end() + 60]!r}"
        )
        return
    again = _again(page, form, name)
    if again is None:
        yield f"is answered without its form: {_main(page)}"
        return
    yield from _marks(page, again, name, free=free)
    yield from _lost(again, sent)


def _again(page: Page, form: Form, name: str) -> Form | None:
    """The same form on the page that answers it: some of its fields may have gone, not the one that was
    filled in.
    """
    same = [one for one in page.posts() if name in one.names and {*one.buttons} & {*form.buttons}]
    return max(same, key=lambda one: len({*one.names} & {*form.names}), default=None)


def _marks(page: Page, form: Form, name: str, *, free: bool) -> Iterator[str]:
    """What is wrong with how the fields are marked."""
    marked = list(dict.fromkeys(one.name for one in form.controls if _said(page, one)))
    if not marked or not (free or {name, *COMPANIONS.get(name, ())} & {*marked}):
        yield f"{marked} are marked: {_main(page)}"
    focused = [one.name for one in form.controls if "autofocus" in one.attributes]
    if focused[:1] != marked[:1]:
        yield f"has the focus at {focused} instead of {marked[:1]}"
    texts = {one.name: _said(page, one) for one in reversed(form.controls)}
    for one in form.controls:
        said = _said(page, one)
        if said and page.shown.count(said) != sum(said in text for text in texts.values()):
            yield f"is told {said!r} {page.shown.count(said)} times"
        if said and one.kind not in TICKED and one.attributes.get("aria-invalid") != "true":
            yield f"{one.name} is not invalid"


def _said(page: Page, one: Control) -> str:
    """What is said to be wrong with a field."""
    names = [name for name in one.described_by if name.startswith("wrong-") or name == "faults"]
    return " ".join(page.texts.get(name, "") for name in names).strip()


def _main(page: Page) -> str:
    return re.sub(r"\s+", " ", page.shown.partition("Retry now")[2])[:400]


def _lost(form: Form, sent: dict[str, list[str]]) -> Iterator[str]:
    """What of the sent is not in the form any more."""
    for name in form.names:
        one = form.of(name)[0]
        if one.kind == "select":
            # What can be chosen depends on the rest.
            continue
        if one.kind in TICKED and COMPANIONS.get(name, [""])[0] in sent:
            # What is written counts instead of what is chosen.
            continue
        held = [one.value.strip() for one in form.of(name) if one.on]
        if (
            one.kind != "password"
            and name not in SECRET
            and {text.strip() for text in sent.get(name, [])} - {*held, ""}
        ):
            yield f"loses {name}"
