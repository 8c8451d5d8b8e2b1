"""The command set document: exactly one shape, every fault named, one digest for one meaning."""

from typing import Any

import jsonschema
import pytest
import yaml

from sessions_app.policy.commands.document import canonical_json, digest
from sessions_app.policy.commands.kinds import command_set_schema, parse_document, parse_text
from sessions_app.policy.documents import DocumentError, load_yaml


def faults(text: str) -> list[str]:
    with pytest.raises(DocumentError) as caught:
        parse_text(text)
    return [str(problem) for problem in caught.value.problems]


def test_the_document_is_read_as_written(restart_web):
    assert restart_web.name == "restart-web"
    restart, journal, stop = restart_web.commands
    assert (restart.effect, restart.hold, restart.finish_seconds) == ("change", False, None)
    assert journal.where["lines"].limits == "a number from 1 to 1000"
    assert (stop.hold, stop.finish_seconds) == (True, 300)
    assert {restart_web.contain_of(rule) for rule in restart_web.commands} == {"pidns"}


def test_contain_of_the_set_holds_for_commands_that_do_not_say():
    text = "{name: a, kind: ssh, summary: s, risk: low, contain: pidns, commands: [%s]}"
    one, two = "{run: ls, effect: read}", "{run: id, effect: read, contain: group}"
    document = parse_text(text % f"{one}, {two}")
    assert [document.contain_of(rule) for rule in document.commands] == ["pidns", "group"]


REPLACED = [
    ("kind: ssh", "kind: telnet", "line 2, kind: needs one of ssh"),
    ("risk: medium\n", "", "risk: is missing: add it"),
    ("risk: medium", "risk: medium\nowner: me", "line 5, owner: is not a known key here"),
    (
        "name: restart-web",
        "name: Restart Web",
        "line 1, name: must be lowercase letters, digits and hyphens, such as restart-web",
    ),
    (
        "effect: read",
        "effect: reed",
        "line 12, commands[1].effect: must be 'read', 'change' or 'destructive'",
    ),
    ("    effect: read\n", "", "commands[1].effect: is missing: add it"),
    ("hold: true", "hold: yes", "commands[2].hold: must be true or false, without quotes"),
    ("hold: true", "hold: 1", "commands[2].hold: must be true or false, without quotes"),
    ("finish: 5m", "finish: 2h", "commands[2].end.finish: needs a duration of at most 1h"),
    ("finish: 5m", "finish: 0m", "commands[2].end.finish: "),
    ("finish: 5m", "cut: 5m", "commands[2].end"),
    ("[1, 1000]", "[1000, 1]", "line 11, commands[1].where.lines.int: needs the lowest number first"),
    ("[nginx, haproxy]", "[]", "line 6, parameters.unit.choice: is empty: add at least one entry"),
    ("choice:", "choise:", "line 6, parameters.unit: needs one type"),
    ("-n {lines}", "-n {line}", "commands[1].run: uses {line}, which is not declared"),
    ("-n {lines}", "-n 5", "commands[1].where.lines: is not used in run"),
    (
        "{lines: {int: [1, 1000]}}",
        "{lines: {int: [1, 1000], from: workflow.id}}",
        "commands[1].where.lines: a value that",
    ),
    (
        "{lines: {int: [1, 1000]}}",
        "{lines: {int: [1, 9]}, unit: {int: [1, 9]}}",
        "commands[1].where.unit: has the same name",
    ),
    (
        "systemctl restart {unit}\n",
        "systemctl restart {unit} | cat\n",
        "line 8, commands[0].run: “|” is never passed",
    ),
    ("systemctl restart {unit}\n", "'{unit} restart'\n", "commands[0].run: the program must be written out"),
    (
        "systemctl restart {unit}\n",
        "'ls {unit}{unit}'\n",
        "commands[0].run: two parameters need text between",
    ),
    (
        "systemctl restart {unit}\n",
        '"A=1 ls {unit}"\n',
        "commands[0].run: environment variables are not supported",
    ),
    ("systemctl restart {unit}\n", '"ls\\u202e {unit}"\n', "commands[0].run: contains U+202E"),
    ("systemctl restart {unit}\n", "[ls]\n", "commands[0].run: must be text"),
    ("summary: Restart", 'summary: "a\\nb" #', "summary: contains U+000A"),
]


@pytest.mark.parametrize(("old", "new", "said"), REPLACED)
def test_each_fault_is_named_with_its_place(restart_web_text, old, new, said):
    assert old in restart_web_text
    found = faults(restart_web_text.replace(old, new, 1))
    assert any(said in fault for fault in found), found


def test_all_faults_are_named_at_once(restart_web_text):
    text = (
        restart_web_text.replace("name: restart-web", "name: No!")
        .replace("hold: true", "hold: maybe")
        .replace("risk: medium", "risk: no")
    )
    assert len(faults(text)) == 3


def test_a_list_without_commands_is_read_and_missing_commands_are_not(restart_web_text):
    head = restart_web_text.partition("commands:")[0]
    assert parse_text(head + "commands: []").commands == ()
    assert faults(head) == ["commands: is missing: add it"]
    assert faults(head + "commands:")


def test_a_parameter_stands_in_quotes_too_and_braces_can_be_literal():
    document = parse_document(
        {
            "name": "a",
            "kind": "ssh",
            "summary": "s",
            "risk": "low",
            "parameters": {"x": {"name": 9}},
            "commands": [{"run": "ps 'a {x}' \"{x}\" --u={x} '{'x'}' '{a b}' {x}-{x}", "effect": "read"}],
        }
    )
    words = document.commands[0].template().words
    assert ["".join(p if isinstance(p, str) else f"<{p.name}>" for p in word) for word in words] == [
        "ps",
        "a <x>",
        "<x>",
        "--u=<x>",
        "{x}",
        "{a b}",
        "<x>-<x>",
    ]


def test_a_brace_behind_a_backslash_begins_no_parameter(restart_web_text):
    text = restart_web_text.replace("restart {unit}\n", "restart \\{unit}\n", 1)
    assert any("commands[0].run: “}” is never passed" in fault for fault in faults(text))


def test_the_digest_is_that_of_the_meaning(restart_web, restart_web_text):
    said_again = yaml.safe_dump(load_yaml(restart_web_text), sort_keys=True)
    spelled_out = restart_web_text.replace(
        "effect: change", "effect: change\n    hold: false\n    end: cut", 1
    )
    other = restart_web_text.replace("nginx, haproxy", "haproxy, nginx, sshd")
    assert digest(parse_text(said_again)) == digest(restart_web) == digest(parse_text(spelled_out))
    assert digest(parse_text(other)) != digest(restart_web)
    assert len(digest(restart_web)) == 64


def test_the_canonical_text_reads_back_as_the_same_document(restart_web):
    again = parse_document(load_yaml(canonical_json(restart_web)))
    assert again == restart_web
    assert canonical_json(again) == canonical_json(restart_web)


def test_the_canonical_text_leaves_out_what_is_not_said_so_that_new_keys_change_no_digest():
    text = "{risk: low, name: a, kind: ssh, summary: é, commands: [{run: ls, effect: read, hold: false}]}"
    assert (
        canonical_json(parse_text(text))
        == '{"commands":[{"effect":"read","run":"ls"}],"kind":"ssh","name":"a","risk":"low","summary":"é"}'
    )


def test_a_workflow_value_alone_survives_the_canonical_text():
    text = (
        "{name: a, kind: ssh, summary: s, risk: low, parameters: {t: {from: workflow.id}}, commands: [{run:"
        " 'ls {t}', effect: read}]}"
    )
    assert '{"from":"workflow.id"}' in canonical_json(parse_text(text))
    assert parse_text(canonical_json(parse_text(text))) == parse_text(text)


def test_the_schema_is_valid_and_takes_what_the_parser_takes(restart_web_text):
    schema = command_set_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(load_yaml(restart_web_text))) == []


SCHEMA_FAULTS: list[tuple[str, str]] = [
    (old, new)
    for old, new, _ in REPLACED
    if "run" not in _
    and "where.unit" not in _
    and "U+000A" not in _
    and "lowest" not in _
    and "not used" not in _
    and "at most 1h" not in _
    and "finish: " not in _
]


@pytest.mark.parametrize(("old", "new"), SCHEMA_FAULTS)
def test_editors_see_faults_of_shape_by_the_schema(restart_web_text, old, new):
    data: Any = load_yaml(restart_web_text.replace(old, new, 1))
    assert list(jsonschema.Draft202012Validator(command_set_schema()).iter_errors(data))
