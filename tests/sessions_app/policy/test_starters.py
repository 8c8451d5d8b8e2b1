"""What one begins with can be used as it stands."""

import pytest

from sessions_app.policy.catalog import fingerprint_of, read_command_set, read_policy
from sessions_app.policy.commands.examples import check_examples
from sessions_app.policy.commands.kinds import lint, starter, starters
from sessions_app.policy.starter_policy import policy_source


@pytest.mark.parametrize("one", starters(), ids=lambda one: one.key)
def test_a_starter_is_fit_to_be_published(one):
    file = read_command_set(one.source)
    assert file.name == one.name
    assert lint(file.document) == []
    assert check_examples(file.document) == []


def test_a_starter_that_is_not_there_is_the_first():
    assert starter("no-such") is starters()[0]


def test_a_policy_to_begin_with_says_what_was_chosen():
    names = {"name": "p", "clusters": ["a", "b"], "command_sets": ["c"], "requesters": ["ops"]}
    document = read_policy(policy_source(**names, approvers=["leads"], hours=2))
    assert (document.clusters, document.max_duration) == (("a", "b"), 7200)
    assert document.approver_groups == ("leads",)
    assert read_policy(policy_source(**names, approvers=[])).clauses == ()


def test_a_fingerprint_is_what_openssh_says():
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8gQ0Xl0m0Zr3w7d6cJ3z1v9y0u8i5Z6fQkq3yXo9pB web-1"
    assert fingerprint_of(key) == "SHA256:nzMqK7b1nmyClaS+NJvAwjMaWQS0HbL8AlqXBuTFQLE"
    for nothing in ("", "ssh-ed25519", "ssh-ed25519 !!", "ssh-rsa <b>"):
        assert fingerprint_of(nothing) == ""
