"""Terminal output as HTML: colors as classes, and nothing else."""

from __future__ import annotations

import html
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.web.shell.ansi import indexed, nearest, plain, render

SPAN = re.compile(r'<span class="((?:a-[fb][0-9]{1,2}|a-[ndwius])(?: a-[wius])*)">([^<>]*)</span>')
# Pieces of what programs send, so that sequences are met more often than by chance.
PIECES = st.sampled_from(
    ["\x1b[", "\x9b", "m", ";", ":", "38", "48", "5", "2", "1", "31", "7", "0", "\x1b]8;;http://x\x07", "\r", "\n",
     "\r\n", "<script>", "</span>", '"', "&lt;", "&", "<", ">", "\u202e", "\x07", "\x1b", "\x1b\\", "text", "é"]
)  # fmt: skip
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
    assert "<" not in rest
    assert ">" not in rest
    assert '"' not in rest


@given(OUTPUT)
def test_what_is_read_is_the_same_with_and_without_colors(raw):
    assert html.unescape(SPAN.sub(lambda found: found[2], render(raw))) == plain(raw)


@given(OUTPUT)
def test_nothing_that_a_terminal_obeys_or_that_hides_text_is_left(raw):
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b]", render(raw))


@given(st.integers(0, 255))
def test_every_color_has_its_place_in_the_palette(number):
    assert 0 <= indexed(number) < 16
    assert 0 <= nearest(number, 255 - number, number // 2) < 16


@pytest.mark.timing
def test_a_line_that_is_begun_again_and_again_costs_no_more_than_its_length():
    began = time.perf_counter()
    assert len(plain("x" * 30_000 + "\ry" * 30_000)) == 30_000
    render("\x1b[1m" * 20_000 + "x\x1b[31m" * 20_000)
    assert time.perf_counter() - began < 2
