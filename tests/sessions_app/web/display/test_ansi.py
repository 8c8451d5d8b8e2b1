"""Terminal output as HTML: colors as classes, and nothing else."""

import html
import io
import json
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.queries.record.recording_content import open_file
from sessions_app.web.display.ansi import plain, render
from sessions_app.web.display.recording import hits, output_of
from tests.support.world.reading import says, says_nothing_of

SPAN = re.compile(r'<span class="((?:a-[fb][0-9]{1,2}|a-[ndwius])(?: a-[wius])*)">([^<>]*)</span>')
# Pieces of what programs send, so that sequences are met more often than by chance.
PIECES = st.sampled_from(
    [
        "\x1b[",
        "\x9b",
        "m",
        ";",
        ":",
        "38",
        "48",
        "5",
        "2",
        "1",
        "31",
        "7",
        "0",
        "\x1b]8;;http://x\x07",
        "\r",
        "\n",
        "\r\n",
        "<script>",
        "</span>",
        '"',
        "&lt;",
        "&",
        "<",
        ">",
        "\u202e",
        "\x07",
        "\x1b",
        "\x1b\\",
        "text",
        "é",
    ]
)
OUTPUT = st.one_of(st.text(), st.lists(PIECES).map("".join))


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31mred\x1b[0m plain", '<span class="a-f1">red</span> plain'),
        ("\x1b[1;4;92mdone", '<span class="a-f10 a-w a-u">done</span>'),
        ("\x1b[38;5;196mred", '<span class="a-f9">red</span>'),
        ("\x1b[38;2;0;200;10mgreen", '<span class="a-f2">green</span>'),
        ("\x1b[38:2::0:200:10mgreen", '<span class="a-f2">green</span>'),
        ("\x1b[48;5;17mdark", '<span class="a-b0">dark</span>'),
        ("\x1b[33;44mboth", '<span class="a-b4">both</span>'),
        ("\x1b[7mturned", '<span class="a-n">turned</span>'),
        ("\x1b[7;31mturned", '<span class="a-b1">turned</span>'),
        ("\x1b[2mdim\x1b[22m not", '<span class="a-d">dim</span> not'),
        ("\x1b[31ma\x1b[39mb", '<span class="a-f1">a</span>b'),
        ("\x1b[4mu\x1b[4:0mn", '<span class="a-u">u</span>n'),
        ("\x1b[38;5mx", "x"),
        ("\x1b[8mhidden is shown", "hidden is shown"),
        ("\x1b[31mone\r\ntwo", '<span class="a-f1">one</span>\n<span class="a-f1">two</span>'),
        ("\x1b[32m100%\x1b[0m\r 50", ' 50<span class="a-f2">%</span>'),
        ("<b onclick=x>&amp;", "&lt;b onclick=x&gt;&amp;amp;"),
        ("\x1b]8;;javascript:x\x07link\x1b]8;;\x07", "link"),
    ],
)
def test_what_is_shown(raw, shown):
    assert render(raw) == shown


@given(OUTPUT)
def test_no_output_yields_markup_other_than_spans_with_classes(raw):
    rest = SPAN.sub(lambda found: found[2], render(raw))
    says_nothing_of(rest, "<", ">", '"')


@given(OUTPUT)
def test_what_is_read_is_the_same_with_and_without_colors(raw):
    assert html.unescape(SPAN.sub(lambda found: found[2], render(raw))) == plain(raw)


@given(OUTPUT)
def test_nothing_that_a_terminal_obeys_or_that_hides_text_is_left(raw):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", render(raw))


@pytest.mark.timing
def test_a_line_that_is_begun_again_and_again_costs_no_more_than_its_length():
    began = time.perf_counter()
    assert len(plain("x" * 30_000 + "\ry" * 30_000)) == 30_000
    render("\x1b[1m" * 20_000 + "x\x1b[31m" * 20_000)
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07after", "after"),
        ("\x1bPsecret\x1b\\after", "after"),
        ("\x9b31mred", "red"),
        ("10%\r50%\r100%", "100%"),
        ("long line\rno", "nong line"),
        ("a\r\nb", "a\nb"),
        ("bell\x07 back\x08", "bell back"),
        ("\x1b(B\x1b[?25lshown", "shown"),
        ("unfinished \x1b]0;never ended", "unfinished "),
        ("tab\tkept", "tab\tkept"),
        ("order\u202eed", "order\ufffded"),
    ],
)
def test_what_a_terminal_would_obey_is_gone(raw, text):
    assert plain(raw) == text


def recording(text):
    return io.BufferedReader(io.BytesIO(text.encode()))


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029", "\x1c", "\x0b", "\x0c"])
def test_no_character_in_the_output_hides_what_stands_around_it(char):
    event = json.dumps([0.1, "o", f"before{char}after\n"], ensure_ascii=False)
    shown = output_of(recording('{"version": 2}\n' + event + "\n")).text
    says(shown, "before", "after")


def test_a_line_cut_off_by_a_crash_is_left_out():
    text = '{"version": 2}\n[0.1, "o", "one\\n"]\n[0.2, "i", "typed"]\n[0.3, "o", "tw'
    assert output_of(recording(text)).text == "one"


def test_a_long_output_shows_its_end_and_says_so():
    output = output_of(
        recording("{}\n" + "".join(f'[0, "o", "line {number}\\n"]\n' for number in range(1000)))
    )
    assert output.cut
    assert output.text.splitlines()[-1] == "line 999"
    assert len(output.text.splitlines()) == 400


def test_no_recording_is_no_file(settings, tmp_path):
    settings.RECORDINGS_DIR = tmp_path
    assert [open_file(path) for path in ("", "missing.cast", ".", "../secret", "missing.cast/x")] == [
        None
    ] * 5


def test_a_text_is_found_with_the_moment_in_which_its_line_began():
    file = recording(
        '{"version": 2}\n[0.5, "o", "Starting\\r\\nwait"]\n[2.25, "o", "ing for \\u001b[31mNode\\u001b[0m'
        ' 7\\r\\n"]\n[9, "o", "node 8"]\n'
    )
    assert [(hit.at, hit.line) for hit in hits(file, "node")] == [
        (0.5, "waiting for Node 7"),
        (9.0, "node 8"),
    ]
    assert hits(file, "nothing") == []
