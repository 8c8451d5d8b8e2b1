"""What is wrong with a form: in words, once, at its field, with the focus there, and all fields marked."""

import re
from html import unescape

import pytest
from django.template import Context, Template

from broker.kernel.errors import InvalidInput
from sessions_app.models import AccessRequest
from sessions_app.web.forms.faults import Faults, faults_of
from tests.environment import ROOT
from tests.sessions_app.web.requests.test_asking import FORM
from tests.support.world.acts import policy
from tests.support.world.reading import answered
from tests.support.world.world import PASSWORD

ERROR = re.compile(r'<span class="error" id="wrong-([\w-]+)">(.*?)</span>')


def said(page: str) -> dict[str, str]:
    """What a page says is wrong, by field; every field that is named is marked, one has the focus, and
    nothing is said twice.
    """
    page = re.sub("</?code>", "`", page)
    found = {name: unescape(text) for name, text in ERROR.findall(page)}
    for name, text in found.items():
        assert f'wrong-{name}"' in page.replace(f'id="wrong-{name}"', ""), f"{name} is not marked"
        assert unescape(page).count(text) == 1, f"{text} is said twice"
    if found:
        assert page.count(" autofocus") == 1
        first = re.search(r' autofocus aria-describedby="(?:[\w-]+ )?wrong-([\w-]+)"', page)
        assert first is not None
        assert first[1] == next(iter(found)), "the focus is on the first"
    return found


def test_one_fault_is_said_whole_at_its_field_and_nowhere_else():
    error = InvalidInput("Say for how long.", hint="Write 4h.", fields={"duration": ["Needed."]})
    assert faults_of(error, "ticket other:duration").at == {"other": "Say for how long. Write 4h."}
    assert faults_of(error, "ticket other:duration").above == ()


def test_several_are_counted_above_and_said_each_at_its_field():
    error = InvalidInput("It is not complete.", fields={"b": ["Wrong b."], "a": ["Wrong a."]})
    found = faults_of(error, "a b")
    assert list(found.at.items()) == [("a", "Wrong a."), ("b", "Wrong b.")]
    assert found.above == ("It is not complete.", "2 fields need fixing.")


def test_no_form_goes_to_a_fragment_where_chromium_would_ignore_the_focus():
    forms = {
        path: re.findall(r'<form[^>]* action="[^"]*#', path.read_text())
        for path in (ROOT / "templates").rglob("*.html")
    }
    assert [path.name for path, found in forms.items() if found] == []


def test_what_has_no_field_has_the_focus_itself():
    shown = Template("{% faults error 'a' %}").render
    assert ' tabindex="-1" autofocus' in shown(Context({"error": InvalidInput("It does not fit.")}))
    assert "autofocus" not in shown(
        Context({"error": InvalidInput("No.", fields={"a": ["A is bad."], "b": ["B."]})})
    )


def test_what_has_no_field_is_said_above_so_that_nothing_is_swallowed():
    error = InvalidInput(
        "It does not fit.", hint="Look.", fields={"gone": ["Gone is bad."], "a": ["A is bad."]}
    )
    found = faults_of(error, "a")
    assert (found.at, found.above) == ({"a": "A is bad."}, ("It does not fit.", "Look. Gone is bad."))
    assert faults_of(None, "a") == Faults()


@pytest.mark.parametrize(
    ("changes", "field", "text"),
    [
        ({"p.unit": ""}, "p-unit", "unit is missing: it needs one of nginx, haproxy."),
        ({"p.unit": "sshd"}, "p-unit", "unit: `sshd` is not one of nginx, haproxy."),
        ({"target": []}, "target", "No target is chosen. Choose at least one target of web."),
        ({"reason": ""}, "reason", "A reason is required. Describe what you are going to do."),
        (
            {"other_duration": "90"},
            "other_duration",
            "Enter a duration. 90 needs a unit: use 90m for minutes or 90h for hours.",
        ),
        (
            {"other_duration": "soon"},
            "other_duration",
            "Enter a duration. 'soon' is not a duration; use one like 30m, 4h or 1h 30m.",
        ),
        ({"day": "2026-12-24"}, "hour", "Add the time."),
    ],
)
def test_a_request_says_what_is_wrong_at_the_field(as_alice, changes, field, text):
    answer = as_alice.post("/requests/new/", {**FORM, **changes, "send": "1"})
    page = answer.content.decode()
    assert answer.status_code in (400, 422)
    assert said(page) == {field: text}
    assert "parameters." not in page
    assert not AccessRequest.objects.exists()


def test_all_that_is_wrong_with_a_request_is_marked_at_once(as_alice):
    nothing = {"p.unit": "", "target": [], "reason": "", "other_duration": "90"}
    page = as_alice.post("/requests/new/", {**FORM, **nothing, "send": "1"}).content.decode()
    assert list(said(page)) == ["p-unit", "target", "other_duration", "reason"]
    assert "4 fields need fixing." in page
    page = as_alice.post(
        "/requests/new/", {**FORM, **nothing, "other_duration": "9h", "send": "1"}
    ).content.decode()
    assert list(said(page)) == ["p-unit", "target", "other_duration", "reason"]


@pytest.mark.parametrize(
    ("path", "form", "fields"),
    [
        ("/account/keys/", {"public_key": "x", "label": "mine"}, ["public_key"]),
        ("/account/tokens/", {"label": "", "scope": ["read"], "days": "7"}, ["label"]),
        ("/account/tokens/", {"label": "ci", "days": "7"}, ["scope"]),
        ("/account/time-zone/", {"time_zone": "Mars/Olympus"}, ["time_zone"]),
        ("/account/password/", {"current": "wrong", "new": "a" * 20, "again": "a" * 20}, ["current"]),
        ("/account/password/", {"current": PASSWORD, "new": "short", "again": "short"}, ["new"]),
        (
            "/account/password/",
            {"current": PASSWORD, "new": "long enough words", "again": "others"},
            ["again"],
        ),
        ("/incidents/", {"title": "", "severity": "P1", "cluster": ["web"]}, ["title"]),
        ("/incidents/", {"title": "Slow", "severity": "P9", "cluster": ["web"]}, ["severity"]),
        ("/incidents/", {"title": "Slow", "severity": "P1"}, ["cluster"]),
        (
            "/workflows/",
            {"kind": "change", "title": "x", "cluster": ["web"], "from_day": "2026-12-24"},
            ["from_hour"],
        ),
        ("/workflows/", {"kind": "change", "title": "x", "cluster": ["web"]}, ["from_day"]),
        (
            "/workflows/",
            {"kind": "ticket", "title": "x", "cluster": ["web"], "assignee": "nobody-here"},
            ["assignee"],
        ),
    ],
)
def test_every_form_says_it_at_the_field(as_alice, path, form, fields):
    answer = as_alice.post(path, form)
    assert answer.status_code == 400
    assert list(said(answer.content.decode())) == fields


def test_a_cluster_marks_every_field_that_needs_fixing_and_says_how_many(browser):
    form = {
        "act": "save",
        "name": "Not A Name",
        "environment": "production",
        "risk": "high",
        "rows": "2",
        "t0.name": "a",
        "t0.address": "not an address!",
        "t1.name": "b",
        "t1.address": "b.example",
        "t1.port": "no port",
    }
    page = browser("admin").post("/new/cluster/", form).content.decode()
    found = said(page)
    assert {"name", "t0-address", "t1-port"} <= set(found)
    assert f"{len(found)} fields need fixing." in page
    assert found["name"] == "Must be lowercase letters, digits, hyphens and underscores, such as web-eu."
    assert "[a-z" not in page.partition("<main")[2].replace("&quot;", "")


LONG = "x" * 4_001


@pytest.mark.parametrize(
    ("act", "form", "fields"),
    [
        ("end", {"note": LONG}, ["note"]),
        ("extend", {"seconds": "1800", "reason": LONG}, ["reason"]),
        ("delegate", {"identity": "charlie", "duration": "90", "reason": "Take over"}, ["duration"]),
        ("delegate", {"identity": "charlie", "duration": "90d", "reason": "Take over"}, ["duration"]),
        ("delegate", {"identity": "dora", "duration": "", "reason": "Take over"}, ["identity"]),
        ("delegate", {"identity": "charlie", "duration": "10m", "reason": LONG}, ["reason"]),
    ],
)
def test_a_form_of_a_grant_says_it_at_the_field_and_keeps_what_was_typed(world, as_alice, act, form, fields):
    world.apply(policy(world, delegation={"to": {"identities": ["charlie"]}}))
    page = as_alice.post(f"/grants/{world.grant().ref}/{act}/", form).content.decode()
    assert list(said(page)) == fields
    assert all(f'value="{text}"' in page for text in form.values() if text not in ("", "dora"))


def test_an_editor_says_the_line_and_the_key_in_words_with_the_focus_in_the_text(world, browser):
    (source,) = policy(world, max_duration=90).values()
    line = source.splitlines().index("max_duration: 90") + 1
    page = answered(browser("admin").post("/policies/web-work/edit/", {"source": source, "act": "save"}), 400)
    says = "<code>max_duration</code>: 90 needs a unit: use 90m for minutes or 90h for hours."
    assert f'<a href="#L{line}">Line {line}</a>: {says}' in page
    assert page.count("90 needs a unit") == 1
    assert re.search(
        r'<textarea [^>]*id="source"[^>]* aria-describedby="faults"[^>]* aria-invalid="true" autofocus>', page
    )
    assert page.count(" autofocus") == 1
    assert "max_duration: 90\n" in page
