"""A document as form and as YAML: two views of one text."""

import re

import pytest
from django.http import QueryDict
from django.urls import reverse

from sessions_app.policy.commands.kinds import kinds
from sessions_app.policy.documents import load_yaml
from sessions_app.policy.json_schemas import json_schema
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.forms.document_form import applied, form_of
from tests.support.browser.forms import Page
from tests.support.world.catalog import FILES
from tests.support.world.reading import says

SCHEMA = PolicyDocument.model_json_schema()
TEXT = """\
# Nights only.
name: night
clusters: [web]  # and nothing else
command_sets: [restart-web]
requesters: {groups: [operators]}
approvals:
  - {count: 1, from: [approvers]}  # our leads
max_duration: 4h
"""


def as_sent(fields) -> dict:
    """What a browser sends for the fields of a form."""
    sent = {}
    for one in fields:
        sent[f"shown.{one.name}"] = "1"
        sent |= {one.name: one.value} if one.shape not in ("group", "rows", "row") else as_sent(one.parts)
        if one.is_word:
            sent[f"word.{one.name}"] = "1"
    return sent


def query(values: dict) -> QueryDict:
    made = QueryDict(mutable=True)
    made.update(values)
    return made


def sent_back(source, schema, **changes):
    return applied(source, schema, query(as_sent(form_of(source, schema, ()).fields) | changes))


@pytest.mark.parametrize("file", [name for name in FILES if name.startswith(("policies/", "command-sets/"))])
def test_a_form_that_is_sent_as_it_is_changes_no_character(file):
    kind = load_yaml(FILES[file]).get("kind")
    schema = next((one.document.model_json_schema() for one in kinds() if one.name == kind), SCHEMA)
    assert sent_back(FILES[file], schema) == FILES[file]


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({"f.max_duration": "2h"}, "max_duration: 4h", "max_duration: 2h"),
        ({"f.clusters": "web\ndb"}, "[web]  # and", "[web, db]  # and"),
        ({"f.approvals.0.count": "2"}, "{count: 1,", "{count: 2,"),
        ({"f.approvals.0.count": "two"}, "{count: 1,", "{count: two,"),
        (
            {"f.approvals.1.count": "1", "f.approvals.1.from": "sre"},
            "our leads\n",
            "our leads\n  - {count: 1, from: [sre]}\n",
        ),
        ({"word.f.approvals": "1"}, "\n  - {count: 1, from: [approvers]}  # our leads", " none  # our leads"),
        ({"f.reason": "optional"}, "4h\n", "4h\nreason: optional\n"),
        ({"f.extension.times": "2", "f.extension.by": "1h"}, "4h\n", "4h\nextension: {times: 2, by: 1h}\n"),
    ],
)
def test_a_field_changes_its_own_value_and_keeps_comments(changes, old, new):
    assert sent_back(TEXT, SCHEMA, **changes) == TEXT.replace(old, new)


def test_forms_leave_the_schema_that_they_share_as_it_is():
    schema = json_schema(PolicyDocument)
    sent_back(TEXT, schema, **{"f.approvals.1.count": "1", "f.approvals.1.from": "sre"})
    assert json_schema(PolicyDocument) is schema
    assert schema == SCHEMA


def sent_page(answer, **changes):
    (form,) = [one for one in Page(answer.content.decode()).posts() if "based_on" in one.data()]
    return {name: values[-1] for name, values in form.data().items() if values} | changes


@pytest.mark.parametrize("page", ["policy_new", "command_set_new"])
def test_switching_between_the_views_loses_nothing_typed_and_both_show_the_errors(as_admin, page):
    url = reverse(page)
    first = as_admin.get(url)
    source = f"# mine\n{first.context['typed'].source}"
    form = as_admin.post(url, sent_page(first, source=source, act="form"))
    says(form.content.decode(), 'aria-pressed="true">Form</button>', 'name="f.summary"')
    wrong = sent_page(form, act="check", **{"f.name": "Not A Name"})
    again = as_admin.post(url, wrong)
    says(again.content.decode(), 'value="Not A Name"', "Must be lowercase letters")
    text = as_admin.post(url, sent_page(again, act="yaml"))
    shown = text.content.decode()
    says(shown, "# mine", "name: Not A Name", "must be lowercase letters")
    assert re.search(r'<a href="#L\d+">Line \d+</a>', shown)


def test_a_text_that_cannot_be_parsed_stays_in_the_yaml_view_with_its_error(as_admin):
    answer = as_admin.post(reverse("policy_new"), {"source": "a: [", "act": "form"})
    says(answer.content.decode(), "This is not valid YAML", "a: [</textarea>")
