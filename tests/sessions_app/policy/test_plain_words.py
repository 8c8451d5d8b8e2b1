"""Whatever stands in a document, what is wrong with it is said in words that whoever writes
documents knows.
"""

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from sessions_app.policy.catalog import FOLDERS, read_one
from sessions_app.policy.commands.http.limits import FileLimit
from sessions_app.policy.documents import DocumentError, Problem, load_yaml, problems_of
from sessions_app.policy.starter_policy import policy_source
from tests.support.servers.issuer import trust_file
from tests.support.servers.receiver import webhook_file
from tests.support.world.catalog import FILES
from tests.support.world.sources import DESK

ODD: tuple[Any, ...] = (None, "", "?!", 1, -1, 10**12, 1.5, True, [], ["?!"], [[1]], {}, {"odd": 1})
JARGON = re.compile(
    r"Input should|Value error|Assertion|Field required|not a"
    r" valid|validation|[a-z]+_type|pydantic|dictionary|"
    r"\[a-z|\[0-9|\\d|NoneType|function-|tagged-union|constrained|b'"
)


def documents() -> dict[str, str]:
    """One document of each kind, and more where there are kinds within."""
    return {
        **FILES,
        **webhook_file(None, owners={"groups": ["approvers"]}),
        **trust_file(),
        "workflow-sources/desk.yaml": DESK,
    }


def places(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of each value inside of data."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from places(value, (*path, key))


def with_value(data: Any, path: tuple[str | int, ...], value: Any) -> str:
    """The document with another value at a place."""
    changed = copy.deepcopy(data)
    inside = changed
    for part in path[:-1]:
        inside = inside[part]
    inside[path[-1]] = value
    return json.dumps(changed)


def problems(folder: str, text: str) -> tuple[Problem, ...]:
    """What is wrong with a document."""
    try:
        read_one(folder, text)
    except DocumentError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("folder", FOLDERS)
def test_what_is_wrong_with_a_document_is_told_without_the_words_of_its_programmers(folder):
    told: set[str] = set()
    for name, text in documents().items():
        if name.startswith(f"{folder}/"):
            data = load_yaml(text)
            for path in places(data):
                for odd in ODD:
                    told |= {one.said for one in problems(folder, with_value(data, path, odd))}
    assert told
    assert not [text for text in told if JARGON.search(text)]


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (Problem("max_duration", "must be at most 7d", 4), "Line 4: `max_duration` must be at most 7d."),
        (Problem("commands[2].run", "is missing: add it"), "`run` is missing: add it."),
        (
            Problem("clusters[1]", "there is no cluster web", 3),
            "Line 3: entry 2 of `clusters`: there is no cluster web.",
        ),
        (
            Problem("a", "the key `a` is written twice: keep one", 2),
            "Line 2: The key `a` is written twice: keep one.",
        ),
        (Problem("", "the document is empty"), "The document is empty."),
        (
            Problem("policies/web.yaml: risk", "is missing: add it", 1),
            "policies/web.yaml, line 1: `risk` is missing: add it.",
        ),
    ],
)
def test_a_problem_says_the_line_the_key_and_what_to_do(problem, said):
    assert problem.said == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_duration": 90}, "Line 1: `max_duration`: 90 needs a unit"),
        ({"heartbeat": "2h"}, "Line 1: `heartbeat` must be at most 1h."),
        ({"reason": "yes"}, "Line 1: `reason` must be 'required' or 'optional'."),
        ({"clusters": []}, "Line 1: `clusters` is empty: add at least one entry."),
        ({"extension": {"times": 99, "by": "1h"}}, "Line 1: `times` must be at most 10."),
    ],
)
def test_a_policy_says_what_may_stand_there(changes, said):
    text = policy_source(
        name="web", clusters=["web"], command_sets=["a"], requesters=["dev"], approvers=["ops"]
    )
    found = [one.said for one in problems("policies", json.dumps({**load_yaml(text), **changes}))]
    assert any(one.startswith(said) for one in found), found


def test_a_list_with_one_wrong_entry_is_not_said_to_be_empty_as_well():
    text = FILES["clusters/web.yaml"]
    data = load_yaml(text)
    data["targets"] = [{**data["targets"][0], "port": "no port"}]
    with pytest.raises(DocumentError) as caught:
        read_one("clusters/web.yaml", json.dumps(data))
    assert [problem.path for problem in caught.value.problems] == ["targets[0].port"]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("300GB", "must be at most 100MB"),
        ("0B", "needs a size with a unit"),
        (10**12, "must be at most 100000000"),
    ],
)
def test_a_limit_is_said_in_the_form_of_what_exceeds_it(written, said):
    with pytest.raises(ValidationError) as caught:
        FileLimit(max=written, types=("text/plain",))
    (found,) = problems_of(caught.value, data={"max": written})
    assert found.message.startswith(said)
