"""Terminal output as plain text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions_app.web.shell.ansi import plain
from sessions_app.web.shell.recording import hits, output_of


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


@given(st.text())
def test_nothing_but_text_newlines_and_tabs_is_left(raw):
    left = plain(raw)
    assert not [char for char in left if (ord(char) < 32 and char not in "\n\t") or 127 <= ord(char) < 160]


@pytest.mark.parametrize("char", ["\x85", "\u2028", "\u2029", "\x1c", "\x0b", "\x0c"])
def test_no_character_in_the_output_hides_what_stands_around_it(settings, tmp_path, char):
    settings.RECORDINGS_DIR = tmp_path
    event = json.dumps([0.1, "o", f"before{char}after\n"], ensure_ascii=False)
    (tmp_path / "x.cast").write_text('{"version": 2}\n' + event + "\n", encoding="utf-8")
    shown = output_of("x.cast").text
    assert "before" in shown
    assert "after" in shown


def test_a_line_cut_off_by_a_crash_is_left_out(settings, tmp_path):
    settings.RECORDINGS_DIR = tmp_path
    (tmp_path / "1.cast").write_text(
        '{"version": 2}\n[0.1, "o", "one\\n"]\n[0.2, "i", "typed"]\n[0.3, "o", "tw'
    )
    assert output_of("1.cast").text == "one"


def test_a_long_output_shows_its_end_and_says_so(settings, tmp_path):
    settings.RECORDINGS_DIR = tmp_path
    lines = "".join(f'[0, "o", "line {number}\\n"]\n' for number in range(1000))
    (tmp_path / "1.cast").write_text("{}\n" + lines)
    output = output_of("1.cast")
    assert output.cut
    assert output.text.splitlines()[-1] == "line 999"
    assert len(output.text.splitlines()) == 400


def test_no_recording_is_no_output(settings, tmp_path):
    settings.RECORDINGS_DIR = tmp_path
    assert output_of("") is None
    assert output_of("missing.cast") is None
    assert output_of(".") is None


def test_a_file_that_is_larger_than_a_page_shows_its_end(settings, tmp_path):
    settings.RECORDINGS_DIR = tmp_path
    rows = "".join(f'[0, "o", "{number:07} {"x" * 90}\\n"]\n' for number in range(5000))
    (tmp_path / "1.cast").write_text("{}\n" + rows)
    output = output_of("1.cast")
    assert output.cut
    assert output.text.splitlines()[-1].startswith("0004999")


def test_a_text_is_found_with_the_moment_in_which_its_line_began(tmp_path):
    path = tmp_path / "1.cast"
    path.write_text(
        '{"version": 2}\n[0.5, "o", "Starting\\r\\nwait"]\n[2.25, "o", "ing for \\u001b[31mNode\\u001b[0m 7\\r\\n"]\n'
        '[9, "o", "node 8"]\n'
    )
    assert [(hit.at, hit.line) for hit in hits(path, "node")] == [
        (0.5, "waiting for Node 7"),
        (9.0, "node 8"),
    ]
    assert hits(path, "nothing") == []
