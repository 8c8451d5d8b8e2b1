"""Changing values in the text of a document."""

import copy

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.policy.documents import load_yaml
from sessions_app.policy.yaml_edit import changed

TEXT = """\
# What we do at night.
name: night   # a short name

clusters: [web, "checkout"]
requesters: {groups: [operators]}
# Two pairs of eyes.
approvals:
  # our leads
  - count: 1
    from: [leads]   # not the managers
  - {count: 1, from: [security]}
max_duration: 4h
"""


def edited(**changes):
    data = load_yaml(TEXT)
    for path, value in changes.items():
        inside, parts = data, path.split("__")
        for part in parts[:-1]:
            inside = inside[int(part) if part.isdecimal() else part]
        last = int(parts[-1]) if parts[-1].isdecimal() else parts[-1]
        if value is None:
            del inside[last]
        elif isinstance(inside, list) and last == len(inside):
            inside.append(value)
        else:
            inside[last] = value
    text = changed(TEXT, data)
    assert load_yaml(text) == data
    return text


@pytest.mark.parametrize(
    ("changes", "old", "new"),
    [
        ({"max_duration": "2h"}, "max_duration: 4h", "max_duration: 2h"),
        ({"name": "day"}, "name: night   #", "name: day   #"),
        ({"approvals__0__count": 2}, "- count: 1\n", "- count: 2\n"),
        ({"approvals__1__from__1": "sre"}, "from: [security]", "from: [security, sre]"),
        ({"approvals__1": None}, "  - {count: 1, from: [security]}\n", ""),
        (
            {"approvals__2": {"count": 1, "from": ["sre"]}},
            "from: [security]}\n",
            "from: [security]}\n  - {count: 1, from: [sre]}\n",
        ),
        (
            {"requesters__identities": ["zoe"]},
            "{groups: [operators]}",
            "{groups: [operators], identities: [zoe]}",
        ),
        ({"clusters__0": None}, '[web, "checkout"]', '["checkout"]'),
        ({"max_duration": None}, "max_duration: 4h\n", ""),
        ({"reason": "optional"}, "max_duration: 4h\n", "max_duration: 4h\nreason: optional\n"),
        ({"ticket": "on"}, "max_duration: 4h\n", "max_duration: 4h\nticket: 'on'\n"),
        (
            {"windows": [{"from": "02:00"}]},
            "max_duration: 4h\n",
            "max_duration: 4h\nwindows:\n  - {from: '02:00'}\n",
        ),
    ],
)
def test_a_change_touches_only_its_own_line(changes, old, new):
    assert edited(**changes) == TEXT.replace(old, new)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text("ab: #-'\"[{,\n", max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc-", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(DOCUMENTS, DOCUMENTS, st.booleans())
def test_any_change_reads_as_what_was_wanted(before, after, flow):
    text = yaml.safe_dump(before, default_flow_style=flow, sort_keys=False, allow_unicode=True)
    assert load_yaml(changed(text, copy.deepcopy(after))) == after
