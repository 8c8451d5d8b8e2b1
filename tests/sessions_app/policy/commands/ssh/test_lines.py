"""The strict parser: plain words, quotes and backslashes; all else is refused with its place."""

import pytest

from sessions_app.policy.commands.argv.lines import LineRefused, parse_line

ACCEPTED = [
    ("ls", ("ls",)),
    ("  ls   -l  ", ("ls", "-l")),
    ("ls 'a b'", ("ls", "a b")),
    ("ls 'a;b|c&d<e>f(g)$h`i~j*k?l[m]{n}#o!p=q\\r\"s'", ("ls", 'a;b|c&d<e>f(g)$h`i~j*k?l[m]{n}#o!p=q\\r"s')),
    ('ls "a \';|&<>()~*?[]{}# b"', ("ls", "a ';|&<>()~*?[]{}# b")),
    ('ls "a\\"b\\\\c"', ("ls", 'a"b\\c')),
    ("ls a\\ b \\; \\$x \\\\ \\' \\=x", ("ls", "a b", ";", "$x", "\\", "'", "=x")),
    ("ls ''", ("ls", "")),
    ('ls "" x', ("ls", "", "x")),
    ("l's' a'b'\"c\"\\d", ("ls", "abcd")),
    (
        "ls --a=b a=b 5% a@b a:b a,b a+b ^a -",
        ("ls", "--a=b", "a=b", "5%", "a@b", "a:b", "a,b", "a+b", "^a", "-"),
    ),
    ("ls '=x'", ("ls", "=x")),
    ("ls é 日本語", ("ls", "é", "日本語")),
]


@pytest.mark.parametrize(("line", "argv"), ACCEPTED)
def test_plain_words_and_quotes_become_words(line, argv):
    assert parse_line(line) == argv


@pytest.mark.parametrize("char", list(";&|<>()$`~*?[]{}#!"))
@pytest.mark.parametrize("form", ["ls {}", "ls x{}", "ls {}x", "ls x {} y", "{}ls", "ls 'a'{}'b'"])
def test_what_a_shell_would_interpret_is_refused_with_its_place(char, form):
    line = form.replace("{}", char)
    with pytest.raises(LineRefused) as caught:
        parse_line(line)
    assert caught.value.character == char
    assert caught.value.position == line.index(char)
    assert char in caught.value.reason


@pytest.mark.parametrize("char", ["$", "`", "!"])
def test_double_quotes_do_not_protect_what_shells_read_inside_them(char):
    with pytest.raises(LineRefused) as caught:
        parse_line(f'ls "a{char}b"')
    assert caught.value.position == 5


@pytest.mark.parametrize("char", ["$", "`", "!", "n", "x", " "])
def test_a_backslash_inside_double_quotes_stands_before_a_quote_or_backslash_only(char):
    with pytest.raises(LineRefused, match="backslash inside double quotes"):
        parse_line(f'ls "a\\{char}b"')


UNSEEN = [
    "\n",
    "\r",
    "\0",
    "\t",
    "\x1b",
    "\x07",
    "\x7f",
    "\x85",
    "\xa0",
    "\xad",
    "\u200b",
    "\u200d",
    "\u200e",
    "\u202a",
    "\u202e",
    "\u2028",
    "\u2029",
    "\u2066",
    "\u2069",
    "\u061c",
    "\ufeff",
    "\u3000",
    "\u3164",
    "\u2800",
    "\ufe0f",
    "\U000e0041",
    "\U000e0100",
    "\ue000",
    "\U000f0000",
    "\ud800",
    "\ufdd0",
    "\u034f",
]


@pytest.mark.parametrize("char", UNSEEN, ids=lambda char: f"U+{ord(char):04X}")
@pytest.mark.parametrize("form", ["ls a{}b", "ls 'a{}b'", 'ls "a{}b"', "ls a\\{}b", "ls{}"])
def test_characters_that_cannot_be_seen_are_refused_everywhere(char, form):
    with pytest.raises(LineRefused) as caught:
        parse_line(form.replace("{}", char))
    assert caught.value.character == char
    assert caught.value.position == form.index("{")
    assert char not in caught.value.reason
    assert f"U+{ord(char):04X}" in caught.value.reason


OTHERS = [
    ("", "a command is required"),
    ("   ", "a command is required"),
    ("''", "empty"),
    ("'' ls", "empty"),
    ("ls =x", "“=” at the start"),
    ("=ls", "“=” at the start"),
    ("ls ''=x", "“=” at the start"),
    ('ls ""=x', "“=” at the start"),
    ("ls \\", "ends with a backslash"),
    ("ls 'a", "single quote"),
    ('ls "a', "double quote"),
    ('ls "a\\"', "double quote"),
    ("A=b ls", "environment"),
    ("LD_PRELOAD=/tmp/x.so ls", "environment"),
    ("'A=b' ls", "environment"),
    ("-x ls", "option"),
    ("if true", "shell keyword"),
    ("'time' ls", "shell keyword"),
    ("internal-sftp", "file transfer"),
    ("internal-sftp -l INFO", "file transfer"),
    ("/usr/lib/internal-sftp", "file transfer"),
    ("'internal'-sftp", "file transfer"),
]


@pytest.mark.parametrize(("line", "said"), OTHERS)
def test_a_line_that_is_not_one_program_with_arguments_is_refused(line, said):
    with pytest.raises(LineRefused, match=said):
        parse_line(line)


def test_a_line_may_have_64_kib_and_1000_words_and_no_more():
    assert len(parse_line("ls " + "a" * (64 * 1024 - 3))) == 2
    with pytest.raises(LineRefused, match="64 KiB"):
        parse_line("ls " + "a" * (64 * 1024 - 2))
    with pytest.raises(LineRefused, match="64 KiB"):
        parse_line("ls '" + "é" * (32 * 1024) + "'")
    assert len(parse_line("ls" + " a" * 999)) == 1000
    with pytest.raises(LineRefused, match="1000 words"):
        parse_line("ls" + " a" * 1000)


def test_a_line_that_quoting_would_make_too_long_for_sshd_is_refused():
    assert parse_line('ls "' + "'" * 40_000 + '"')
    with pytest.raises(LineRefused, match="too long"):
        parse_line('ls "' + "'" * 60_000 + '"')
