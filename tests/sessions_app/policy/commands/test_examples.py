"""Examples must hold: allowed by some grant, refused by every one."""

from sessions_app.policy.commands.examples import check_examples
from tests.sessions_app.policy.commands.conftest import make


def test_examples_that_hold_give_nothing(restart_web):
    assert check_examples(restart_web) == []


def test_a_line_for_any_choice_of_the_parameters_counts():
    parameters = {
        "unit": {"choice": [f"unit{n}" for n in range(300)]},
        "tag": {"from": "workflow.release", "pattern": "v[0-9]+"},
    }
    allow = ["deploy unit299 v7", "deploy unit0 v1"]
    refuse = ["deploy unit300 v1", "deploy unit0 1", "deploy unit0 v1 -f"]
    assert (
        check_examples(
            make("deploy {unit} {tag}", parameters=parameters, examples={"allow": allow, "refuse": refuse})
        )
        == []
    )


def test_one_value_must_be_the_same_throughout_a_line():
    examples = {"allow": ["cp a a.bak"], "refuse": ["cp a b.bak"]}
    assert check_examples(make("cp {x} {x}.bak", parameters={"x": {"name": 9}}, examples=examples)) == []


def test_a_failure_explains_itself():
    examples = {"allow": ["systemctl restart sshd", "ls | cat"], "refuse": ["systemctl restart nginx"]}
    parameters = {"unit": {"choice": ["nginx", "haproxy"]}}
    first, second, third = check_examples(
        make("systemctl restart {unit}", parameters=parameters, examples=examples)
    )
    assert (first.where, first.line, first.expected) == (
        "examples.allow[0]",
        "systemctl restart sshd",
        "allow",
    )
    assert "`sshd` is not one of nginx, haproxy" in first.message
    assert "“|”" in second.message
    assert (third.where, third.expected) == ("examples.refuse[0]", "refuse")
    assert "allowed by commands[0] with unit = `nginx`" in third.message
