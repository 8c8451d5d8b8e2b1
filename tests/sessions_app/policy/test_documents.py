"""Only plain data is read from YAML; everything else is refused, with the line."""

import json

import pytest

from sessions_app.policy.documents import DocumentError, Problem, load_yaml, load_yaml_with_lines

REFUSED = [
    ("a: &x 1", 1, "anchors"),
    ("a: 1\nb: *x", 2, "aliases"),
    ("a: !!str 1", 1, "tags"),
    ("a: ! 1", 1, "tags"),
    ("a: !!python/object/apply:os.system [id]", 1, "tags"),
    ("a: 1\nb: 2\na: 3", 3, "twice"),
    ("a: 1\n'a': 3", 2, "twice"),
    ('{"a": 1, "a": 2}', 1, "twice"),
    ("b:\n  x: 1\n  x: 2", 3, "twice"),
    ("1: 2", 1, "keys must be text"),
    ("true: 2", 1, "keys must be text"),
    ("~: 2", 1, "keys must be text"),
    ("? [a]\n: 1", 1, "keys must be text"),
    ("<<: {a: 1}", 1, "merge"),
    ("a: 1\n---\nb: 2", 2, "one document"),
    ("%YAML 1.1\n---\na: 1", 1, "directives"),
    ("[1, 2]", 1, "mapping"),
    ("text", 1, "mapping"),
    ("", None, "empty"),
    ("# a comment alone", None, "empty"),
    ("a: [1", None, "not valid YAML"),
    ("a: b: c", 1, "not valid YAML"),
    ("a: \x01", None, "not valid YAML"),
    ("a: \ud800", None, "UTF-8"),
]


@pytest.mark.parametrize(("text", "line", "said"), REFUSED)
def test_what_is_not_plain_data_is_refused_with_its_line(text, line, said):
    with pytest.raises(DocumentError) as caught:
        load_yaml(text)
    (problem,) = caught.value.problems
    assert said in problem.message
    assert line is None or problem.line == line


@pytest.mark.parametrize("char", ["\\0", "\\x07", "\\e", "\\r", "\\x7f", "\\N", "\\x9b"])
@pytest.mark.parametrize("place", ['a: 1\nb: ["x{}y"]', 'a: 1\n"b{}": 2'])
def test_control_characters_are_refused_with_their_line(place, char):
    with pytest.raises(DocumentError) as refusal:
        load_yaml(place.format(char))
    (problem,) = refusal.value.problems
    assert (problem.line, "control character U+00" in problem.message) == (2, True)


def test_lines_and_tabs_are_no_control_characters():
    assert load_yaml('a: "one\\n\\ttwo"\nb: |\n  three\n') == {"a": "one\n\ttwo", "b": "three\n"}


def test_a_document_of_more_than_256_kib_is_refused_and_one_of_less_is_not():
    head = "a: "
    assert load_yaml(head + "x" * (256 * 1024 - len(head)))["a"]
    with pytest.raises(DocumentError, match="larger than 256 KiB"):
        load_yaml(head + "x" * (256 * 1024 - len(head) + 1))
    with pytest.raises(DocumentError, match="larger than 256 KiB"):
        load_yaml(head + "é" * (128 * 1024))


@pytest.mark.parametrize("opening", ["[", "{a: "])
def test_a_document_deeper_than_20_levels_is_refused(opening):
    closing = "]" if opening == "[" else "}"
    assert load_yaml("a: " + opening * 19 + closing * 19)
    with pytest.raises(DocumentError, match="deeper than 20"):
        load_yaml("a: " + opening * 22 + closing * 22)
    with pytest.raises(DocumentError):
        load_yaml("a: " + opening * 100_000)


def test_words_that_old_yaml_reads_as_something_else_stay_text():
    assert load_yaml("a: [yes, no, on, off, y, n, 2026-01-01, 1:30, 010, 0x10, 1_000, .inf, .nan, =]") == {
        "a": [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "2026-01-01",
            "1:30",
            "010",
            "0x10",
            "1_000",
            ".inf",
            ".nan",
            "=",
        ]
    }


def test_plain_values_have_their_types_and_quotes_make_text():
    text = "a: [1, -2, 1.5, 1e3, true, False, null, ~, '1', \"true\", 'null', '']\nb:\n"
    assert load_yaml(text) == {
        "a": [1, -2, 1.5, 1000.0, True, False, None, None, "1", "true", "null", ""],
        "b": None,
    }


def test_json_is_read_as_it_is():
    data = {"a": [1, "x", {"b": None, "c": True}], "d": 'é"\\\n'}
    assert load_yaml(json.dumps(data)) == data


def test_each_value_knows_its_line():
    _, lines = load_yaml_with_lines("a: 1\nb:\n  - x\n  - y:\n      z\n")
    assert lines[("a",)] == 1
    assert lines[("b", 1, "y")] == 4


def test_a_problem_reads_as_a_place_and_a_sentence():
    assert str(Problem("commands[2].run", "is missing", 7)) == "line 7, commands[2].run: is missing"
    assert str(Problem("", "it is empty")) == "it is empty"
