"""What the linter says of tools."""

import pytest

from sessions_app.policy.commands.kinds import lint, parse_text

HEAD = "name: x\nkind: mcp\nsummary: x\nrisk: low\nparameters: {a: {name: 9}}\ncommands:\n"
EVENT = "{schema: {type: object, properties: {mailTo: {type: string}}}}"
NUMBERS = "{schema: {type: array, items: {type: integer}}}"


def found(*rules):
    return {
        (one.severity, one.code)
        for one in lint(parse_text(HEAD + "".join(f"  - {rule}\n" for rule in rules)))
    }


@pytest.mark.parametrize(
    ("rule", "finding"),
    [
        ("{tool: run_shell, arguments: {x: '{a}'}, effect: change}", ("warning", "runs")),
        ("{tool: executeCommand, arguments: {x: '{a}'}, effect: change}", ("warning", "runs")),
        ("{tool: export_attachments, arguments: {x: '{a}'}, effect: read}", ("warning", "takes_out")),
        ("{tool: delete_ticket, arguments: {x: '{a}'}, effect: read}", ("error", "effect")),
        ("{tool: delete_ticket, arguments: {x: '{a}'}, effect: change}", ("warning", "effect")),
        ("{tool: create_ticket, arguments: {x: '{a}'}, effect: read}", ("warning", "effect")),
        ("{tool: tell, arguments: {x: '{a}', t: {pattern: '.*'}}, effect: change}", ("warning", "free_text")),
        (
            "{tool: tell, arguments: {x: '{t}'}, where: {t: {pattern: '.*'}}, effect: read}",
            ("warning", "free_text"),
        ),
        ("{tool: tell, arguments: {x: {schema: {type: string}}}, effect: read}", ("warning", "free_text")),
        (
            "{tool: tell, arguments: {x: {schema: {type: array, items: {type: string}}}}, effect: read}",
            ("warning", "free_text"),
        ),
        ("{tool: tell, arguments: {x: 1}, effect: change}", ("warning", "unbound")),
        ("{deny: '*'}", ("warning", "denies_all")),
        ("{tool: tell, arguments: {to: {name: 9}}, effect: change}", ("warning", "likely_sink")),
        (f"{{tool: t, arguments: {{x: {EVENT}}}, effect: change}}", ("warning", "likely_sink")),
        ("{tool: tell, arguments: {x: {name: 9}}, sinks: [x], effect: change}", ("error", "free_sink")),
        (
            "{tool: tell, arguments: {x: '{t}'}, where: {t: {name: 9}}, sinks: [x], effect: read}",
            ("error", "free_sink"),
        ),
        (f"{{tool: t, arguments: {{x: {NUMBERS}}}, sinks: [x], effect: read}}", ("error", "free_sink")),
    ],
)
def test_what_gives_more_than_it_seems_to_is_found(rule, finding):
    assert finding in found(rule)


@pytest.mark.parametrize(
    "rule",
    [
        "{tool: read_ticket, arguments: {x: '{a}'}, effect: read}",
        "{tool: read_ticket, arguments: {x: 1}, effect: read}",
        "{tool: tell, arguments: {x: '{a}', t: {pattern: '.{0,200}'}}, effect: change}",
        "{tool: tell, arguments: {x: '{a}', t: {schema: {type: string, maxLength: 9}}}, effect: change}",
        "{tool: delete_ticket, arguments: {x: '{a}'}, effect: destructive}",
        "{deny: 'export_*'}",
        "{tool: tell, arguments: {x: '{a}', to: {name: 9}}, effect: change, hold: true}",
        "{tool: tell, arguments: {to: '{a}'}, sinks: [to], effect: change}",
        "{tool: tell, arguments: {x: '{a}', to: {choice: [ops, sales]}}, sinks: [to], effect: change}",
        "{tool: tell, arguments: {x: '{a}', to: {name: 9}}, free_sinks: {to: all are ours}, effect: change}",
        "{tool: look, arguments: {id: {name: 9}}, effect: read}",
    ],
)
def test_what_is_plain_is_left_alone(rule):
    assert not found(rule) - {("warning", "no_examples"), ("warning", "unused")}


def test_two_commands_for_one_tool_that_differ_in_what_they_mean_are_found():
    assert ("warning", "overlap") in found(
        "{tool: t, arguments: {x: '{a}'}, effect: read}", "{tool: t, arguments: {x: '{a}'}, effect: change}"
    )


@pytest.mark.parametrize(
    ("one", "other", "overlaps"),
    [
        ("docs://x/{a}", "docs://x/*, hold: true", True),
        ("docs://x/{a}", "docs://x/*, untrusted: true", True),
        ("docs://x/*", "docs://x/b, budget: [{calls: 1}]", True),
        ("docs://{a}/b", "docs://x/b, hold: true", True),
        ("docs://x/{a}/*", "docs://x/*/b", True),
        ("docs://x/{a}/b", "docs://x/*/c", False),
        ("docs://x/{a}", "docs://y/*, hold: true", False),
        ("docs://x/{a}", "docs://x/*/b, hold: true", False),
        ("docs://x/{a}", "note://x/*, hold: true", False),
        ("docs://x/{a}", "docs://x/a%20value%20that%20is%20no%20name, hold: true", False),
        ("docs://x/*", "docs://x/b", False),
        ("docs://x/{a}", "docs://x/b", False),
    ],
)
def test_templates_for_the_same_uri_that_limit_or_decide_differently_are_found(one, other, overlaps):
    template, _, marks = other.partition(", ")
    rules = f"{{resource: '{one}'}}", f"{{resource: '{template}'{', ' if marks else ''}{marks}}}"
    assert (("warning", "overlap") in found(*rules)) == overlaps
    assert (("warning", "overlap") in found(*reversed(rules))) == overlaps


def test_a_parameter_that_takes_anything_is_an_error():
    text = (
        HEAD.replace("{name: 9}", "{pattern: '.+'}") + "  - {tool: t, arguments: {x: '{a}'}, effect: read}\n"
    )
    assert ("error", "broad_pattern") in {(one.severity, one.code) for one in lint(parse_text(text))}
