"""The reference: every item of the code has its entry, with its own anchor, and the search leads to it."""

import ast
import importlib
import pkgutil
import re
from itertools import chain

import pytest
from django.core.management import get_commands
from django.test import Client

from broker import variables
from broker.audit.events import Event
from broker.cli.main import cli
from broker.kernel.errors import StintError
from broker.kernel.problem_codes import OTHER_CODES
from broker.kernel.problems import problem
from sessions_app.policy.commands.codes import CODES
from sessions_app.policy.commands.kinds import kinds
from sessions_app.policy.policies import PolicyDocument
from sessions_app.web.docs.guides_page import reference, reference_page
from sessions_app.web.docs.reference import commands, settings
from tests.environment import ROOT
from tests.support.world.reading import read, says

SOURCES = [
    path for folder in ("accounts", "broker", "sessions_app") for path in (ROOT / folder).rglob("*.py")
]
# Variables that no person sets, and those of the `stint` command, whose help lists them.
OTHERS_READ = {"broker/env.py", "broker/demo/main.py", "broker/processes/up.py", "broker/processes/worker.py"}


def codes_of_errors():
    """The codes of all classes of error, wherever they are."""
    for package in ("accounts", "broker.audit", "sessions_app"):
        for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}."):
            if "migrations" not in module.name and "management" not in module.name:
                importlib.import_module(module.name)
    waiting, found = [StintError], set()
    while waiting:
        one = waiting.pop()
        waiting += one.__subclasses__()
        found |= {one.code} if "code" in vars(one) else set()
    return found - {StintError.code}


def calls(*names):
    """Every call of functions with these names, with its file."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = isinstance(node, ast.Call) and (
                getattr(node.func, "id", "") or getattr(node.func, "attr", "")
            )
            if name and name in names:
                yield path, node


def literals(node):
    return [
        one.value for one in ast.walk(node) if isinstance(one, ast.Constant) and isinstance(one.value, str)
    ]


def codes_of_findings():
    """The codes that the linters write out."""
    for path, call in calls("Finding", "found", "Hit", "_unknown", "_found"):
        at = {"_unknown": 0, "_found": 2}.get(getattr(call.func, "id", getattr(call.func, "attr", "")), 1)
        if "policy/commands" in str(path) and len(call.args) > at:
            yield from (text for text in literals(call.args[at]) if re.fullmatch(r"[a-z_]+[a-z]", text))


def codes_of_problems():
    for _, call in calls("problem", "_problem", "challenge", "NotMade", "Broken"):
        given = [word.value for word in call.keywords if word.arg == "code"] or call.args[:2]
        yield from (text for node in given for text in literals(node) if re.fullmatch(r"[a-z_]+[a-z]", text))


REGISTRIES = {
    "settings": lambda: {one.name for group in variables.GROUPS for one in group.variables},
    "policies": lambda: {field.alias or name for name, field in PolicyDocument.model_fields.items()},
    "findings": lambda: {*codes_of_findings(), *CODES},
    "errors": lambda: {*codes_of_errors(), *codes_of_problems(), *OTHER_CODES},
    "events": lambda: {event.value for event in Event},
    "stint": lambda: {f"stint {name}" for name in cli.commands},
    "manage": lambda: {
        f"manage.py {name}"
        for name, app in get_commands().items()
        if app.split(".")[0] in ("accounts", "broker", "sessions_app")
    },
} | {f"{kind.name}-commands": lambda kind=kind: keys(kind) for kind in kinds()}


def keys(kind):
    """The keys of a kind that no other has, from its schema."""
    schema = kind.document.model_json_schema(by_alias=True)
    rules = [one for one in schema["$defs"].values() if "effect" in one.get("properties", {})]
    return set(chain(*(one["properties"] for one in rules))) - {"where", "effect"}


@pytest.mark.parametrize("name", REGISTRIES)
def test_every_item_of_the_code_has_its_entry(name):
    titles = {section.title for section in reference_page(name).document.sections}
    assert REGISTRIES[name]() - titles == set()


@pytest.mark.parametrize("page", reference(), ids=lambda page: page.name)
def test_every_entry_has_an_anchor_of_its_own_and_says_something(page):
    places = re.findall(r'\sid="([^"]*)"', page.document.html)
    assert places
    assert len(places) == len(set(places))
    assert [one.anchor for one in page.document.sections[1:]] == places
    assert [one.title for one in page.document.sections if one.level == 3 and not one.text.strip()] == []


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ("STINT_PUBLIC_URL", "settings/#stint_public_url"),
        ("stint_public_url", "settings/#stint_public_url"),
        ("not_found", "errors/#not_found"),
        ("grant.ended", "events/#grant.ended"),
    ],
)
def test_a_name_leads_to_its_entry(db, words, place):
    assert Client().get("/docs/", {"q": words}).url == f"/docs/reference/{place}"


def test_a_word_finds_the_entry_that_has_it_as_its_name_first(db):
    answer = read(Client(), "/docs/?q=conflict")
    first = re.search(r'<ul class="found"[^>]*>\s*<li><a class="strong" href="([^"]*)"', answer)
    assert first[1] == "/docs/reference/errors/#conflict"


def test_the_index_lists_all_pages_and_each_lists_its_parts(db):
    index = read(Client(), "/docs/")
    for page in reference():
        assert f'href="{page.url}"' in index
        says(read(Client(), page.url), *(f'href="#{part.anchor}"' for part in page.contents))
    assert Client().get("/docs/reference/none/").status_code == 404


def test_the_type_of_a_problem_is_the_address_of_its_entry(monkeypatch):
    monkeypatch.setattr("django.conf.settings.PUBLIC_URL", "https://stint.example.com")
    assert problem(status=404, code="not_found", title="")["type"] == (
        "https://stint.example.com/docs/reference/errors/#not_found"
    )


def test_the_reference_has_declared_defaults_and_no_value_of_this_installation(monkeypatch):
    for name in ("STINT_SSH_PORT", "STINT_GATEWAY_PORT", "STINT_HTTP_PORT"):
        monkeypatch.setenv(name, "23917")
    pages = (settings.page(), commands.manage_page())
    assert not any("23917" in page.document().html for page in pages)


def test_entries_of_the_record_have_no_data_but_what_their_event_lists():
    for path, call in calls("record", "record_end", "record_attempt"):
        words = {word.arg: word.value for word in call.keywords}
        named = [one.attr for one in ast.walk(words.get("event", call)) if isinstance(one, ast.Attribute)]
        data = words.get("data")
        events = [Event[name] for name in named if name in Event.__members__]
        if len(events) == 1 and isinstance(data, ast.Dict):
            given = {key.value for key in data.keys if isinstance(key, ast.Constant)}
            assert given <= set(events[0].data), f"{path.relative_to(ROOT)}:{call.lineno}"


def test_variables_are_read_through_their_declarations_alone():
    read = re.compile(r"\benv(str|bool|int|list|match|secret)\(|os\.environ\b.*STINT_")
    found = {str(path.relative_to(ROOT)) for path in SOURCES if read.search(path.read_text(encoding="utf-8"))}
    assert {one for one in found if not one.startswith("broker/cli/")} <= OTHERS_READ
