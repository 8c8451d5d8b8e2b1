"""The strict parser: splits a command line into words, or refuses it. It guesses nothing and expands nothing.

An accepted line has the same meaning in dash, bash and zsh: plain words, single and double quotes, and a
backslash before one character. The parser refuses everything that any of these shells would interpret, and
names the character and its position. So the approved words are exactly the words that reach the target.
"""

import re
from collections.abc import Iterator

from sessions_app.policy.commands.argv.quoting import quote_argv
from sessions_app.policy.commands.characters import clip, hidden_at, show
from sessions_app.policy.commands.document import RuleRefused

MAX_LINE_BYTES = 64 * 1024
MAX_WORDS = 1000
MAX_QUOTED_BYTES = (
    100 * 1024
)  # sshd accepts a forced command of 130,000 bytes; the rest is reserved for the wrapper

_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+,^=-]+")
_DOUBLE_PLAIN = re.compile(r'[^"\\$`!]+')

_REASONS = {
    ";": "is never passed to a shell: one command per run",
    "&": "is never passed to a shell: one command per run, and none in the background",
    "|": "is never passed to a shell: one command per run, without pipes",
    "<": "is never passed to a shell: redirection is not supported",
    ">": "is never passed to a shell: redirection is not supported",
    "(": "is never passed to a shell: put the word in single quotes",
    ")": "is never passed to a shell: put the word in single quotes",
    "$": "is never passed to a shell, so variables are not expanded: put the word in single quotes",
    "`": "is never passed to a shell, so no command is substituted: put the word in single quotes",
    "~": "is never passed to a shell: write out the folder, or put the word in single quotes",
    "*": "is never passed to a shell, so wildcards are not expanded: put the word in single quotes",
    "?": "is never passed to a shell, so wildcards are not expanded: put the word in single quotes",
    "[": "is never passed to a shell, so wildcards are not expanded: put the word in single quotes",
    "]": "is never passed to a shell, so wildcards are not expanded: put the word in single quotes",
    "{": "is never passed to a shell: put the word in single quotes",
    "}": "is never passed to a shell: put the word in single quotes",
    "#": "would begin a comment in a shell: put the word in single quotes",
    "!": "would recall an old command in a shell: put the word in single quotes",
}

# Words that don't begin a simple command in dash, bash, zsh or fish.
_KEYWORDS = frozenset(
    (
        "if",
        "then",
        "else",
        "elif",
        "fi",
        "case",
        "esac",
        "for",
        "select",
        "while",
        "until",
        "do",
        "done",
        "in",
        "function",
        "time",
        "coproc",
        "begin",
        "end",
        "and",
        "or",
        "not",
        "switch",
        "foreach",
        "repeat",
        "nocorrect",
        "noglob",
    )
)


class LineRefused(RuleRefused):
    """A line that is not one plain command.

    `reason` is a sentence for the line's author, `position` the offset from 0, and `character` the offending
    character (empty if there is none).
    """

    def __init__(self, reason: str, position: int, character: str = "") -> None:
        self.position = position
        self.character = character
        super().__init__(reason)


def parse_line(text: str) -> tuple[str, ...]:
    """Return the words of one command line of at most 64 KiB and 1000 words. The result is never empty.

    Raises LineRefused for anything that a shell would interpret, for invisible characters, for unclosed
    quotes, and for a first word that is an assignment, an option, a shell keyword or sshd's internal-sftp.
    """
    _check_size(text)
    at = hidden_at(text)
    if at is not None:
        raise LineRefused(_hidden_reason(text[at]), at, text[at])
    argv = tuple(word for word, _ in split_words(text))
    if len(argv) > MAX_WORDS:
        raise LineRefused(f"the line has more than {MAX_WORDS} words", len(text))
    check_argv(argv)
    return argv


def _check_size(text: str) -> None:
    if len(text) > MAX_LINE_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_LINE_BYTES:
        raise LineRefused(f"the line is longer than {MAX_LINE_BYTES // 1024} KiB", 0)


def _hidden_reason(char: str) -> str:
    if char in "\r\n":
        return f"{show(char)} ends a command: one command per run, on one line"
    return f"{show(char)} is not printable: remove it"


def check_argv(argv: tuple[str, ...]) -> None:
    """Refuse words that sshd or a shell would not treat as one program and its arguments. Raises
    LineRefused.
    """
    if not argv:
        raise LineRefused("a command is required", 0)
    program = argv[0]
    if not program:
        raise LineRefused("the program's name is empty: write a command", 0)
    if "=" in program:
        raise LineRefused("environment variables are not supported: begin with the program's name", 0, "=")
    if program.startswith("-"):
        raise LineRefused("the line begins with an option: begin with the program's name", 0, "-")
    if program in _KEYWORDS:
        raise LineRefused(f"{clip(program)} is a shell keyword, not a program", 0)
    if program.rpartition("/")[2].startswith("internal-sftp"):
        raise LineRefused("internal-sftp is file transfer inside sshd, not a command", 0)
    if sum(map(len, argv)) > MAX_QUOTED_BYTES // 4 and len(quote_argv(argv).encode()) > MAX_QUOTED_BYTES:
        raise LineRefused("the command is too long to reach the target: shorten it", 0)


def split_words(text: str) -> Iterator[tuple[str, int]]:
    """Yield each word with its offset. This checks only shell syntax; `parse_line` checks the rest."""
    at = 0
    while at < len(text):
        if text[at] == " ":
            at += 1
            continue
        start = at
        word, at = _word(text, start)
        yield word, start


def _word(text: str, at: int) -> tuple[str, int]:
    """Return the word that begins at this offset, and the offset after the word."""
    word = ""
    while at < len(text) and text[at] != " ":
        if text[at] == "=" and not word:  # zsh expands “=” after empty quotes as well
            raise LineRefused("some shells expand “=” at the start of a word: quote the word", at, "=")
        part, at = _piece(text, at)
        word += part
    return word, at


def _piece(text: str, at: int) -> tuple[str, int]:
    """Return the text of one plain run, quoted run or escaped character, and the offset after it."""
    if plain := _PLAIN.match(text, at):
        return plain.group(), plain.end()
    char = text[at]
    if char == "'":
        return _single(text, at)
    if char == '"':
        return _double(text, at)
    if char == "\\":
        if at + 1 == len(text):
            raise LineRefused("the line ends with a backslash: remove it", at, char)
        return text[at + 1], at + 2
    if char in _REASONS:
        raise LineRefused(f"“{char}” {_REASONS[char]}", at, char)
    return char, at + 1


def _single(text: str, at: int) -> tuple[str, int]:
    close = text.find("'", at + 1)
    if close < 0:
        raise LineRefused("a single quote is not closed", at, "'")
    return text[at + 1 : close], close + 1


def _double(text: str, opened: int) -> tuple[str, int]:
    at, parts = opened + 1, []
    while at < len(text):
        if run := _DOUBLE_PLAIN.match(text, at):
            parts.append(run.group())
            at = run.end()
            continue
        char = text[at]
        if char == '"':
            return "".join(parts), at + 1
        if char != "\\":
            raise LineRefused(f"shells interpret “{char}” inside double quotes: use single quotes", at, char)
        if text[at + 1 : at + 2] not in ('"', "\\"):
            raise LineRefused('a backslash inside double quotes can only come before “"” or “\\”', at, char)
        parts.append(text[at + 1])
        at += 2
    raise LineRefused("a double quote is not closed", opened, '"')
