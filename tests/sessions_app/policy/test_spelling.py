"""Misspelled keys of a document are recognized, and its problems are in the order of its lines."""

import pytest

from sessions_app.policy.catalog import read_one
from sessions_app.policy.documents import DocumentError
from tests.support.world.catalog import FILES


def problems(file: str, old: str, new: str):
    text = FILES[file]
    assert old in text
    with pytest.raises(DocumentError) as caught:
        read_one(file.partition("/")[0], text.replace(old, new))
    return caught.value.problems


@pytest.mark.parametrize(
    ("file", "old", "new", "key"),
    [
        ("policies/web-work.yaml", "max_duration: 4h", "max_durration: 4h", "max_duration"),
        ("policies/web-work.yaml", "max_duration: 4h", "maxDuration: 4h", "max_duration"),
        ("policies/web-work.yaml", "count: 1", "cuont: 1", "count"),
        ("policies/web-work.yaml", "requesters: {groups", "requesters: {group", "groups"),
        ("policies/checkout-change.yaml", "zone: Europe", "time_zone: Europe", ""),
        ("command-sets/restart-web.yaml", "hold: true", "holds: true", "hold"),
        (
            "command-sets/read-orders.yaml",
            "  - grant: SELECT ON app.orders\n",
            "  - grant: SELECT ON app.orders\n    holds: true\n",
            "",
        ),
        ("clusters/web.yaml", "host_key: ", "hostkey: ", "host_key"),
        ("clusters/web.yaml", "name: web\n", "name: web\nqwert: 1\n", ""),
    ],
)
def test_a_misspelled_key_is_answered_with_the_key_that_was_meant(file, old, new, key):
    found = [one for one in problems(file, old, new) if "is not a known key" in one.message]
    said = f"Did you mean `{key}`?" if key else "check the spelling or remove it."
    assert found[0].said.endswith(f"is not a known key here{'. ' if key else ': '}{said}")
    if key:
        missing = [one for one in problems(file, old, new) if "is missing" in one.message]
        assert not missing, "the key that was meant is not reported as missing, too"


def test_problems_are_in_the_order_of_their_lines():
    found = problems("policies/web-work.yaml", "summary: Planned", "viewers: 3\nname: x\nsumary: Planned")
    assert len(found) == 1, "a repeated key stops the reading"
    found = problems("policies/web-work.yaml", "summary: Planned", "viewers: 3\nreason: no\nsumary: Planned")
    assert [one.line for one in found] == [3, 4, 5]


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("command-sets/restart-web.yaml", "risk: medium", "risk: meduim", "Did you mean `medium`?"),
        ("command-sets/restart-web.yaml", "kind: ssh", "kind: shh", "Did you mean `ssh`?"),
        ("command-sets/restart-web.yaml", "{choice: [", "{choise: [", "Did you mean `choice`?"),
        (
            "clusters/web.yaml",
            "environment: production",
            "environment: Productio",
            "Did you mean `production`?",
        ),
        ("clusters/web.yaml", "environment: production", "environment: moon", "'staging' or 'development'."),
    ],
)
def test_a_misspelled_value_is_answered_with_the_value_that_was_meant(file, old, new, said):
    assert problems(file, old, new)[0].said.endswith(said)
