"""Compared with real shells: an accepted line reaches a target as exactly the approved words.

At full breadth a new seed is drawn; `STINT_SHELL_SEED=n` repeats a run that failed, whose message has the
seed.
"""

import os
import random
import secrets
import shutil
import subprocess
from pathlib import Path

import pytest

from sessions_app.policy.commands.argv.lines import LineRefused, parse_line
from sessions_app.policy.commands.argv.quoting import quote, quote_argv
from tests.support.breadth import FULL

pytestmark = pytest.mark.processes

SHELLS = {
    "dash": ["dash"],
    "bash": ["bash", "--norc", "--noprofile"],
    "zsh": ["zsh", "-f"],
    "fish": ["fish", "--no-config"],
}
LINES = 20_000
SEEDS = [20_260_101, *([int(os.environ.get("STINT_SHELL_SEED", secrets.randbelow(2**32)))] if FULL else [])]

# A function prints its words, each with a NUL behind it, and a line end behind the last: no word can hold
# either.
POSIX_SHOW = "show() { printf '%s\\0' \"$@\"; printf '\\n'; }\n"
FISH_SHOW = "function show; printf '%s\\0' $argv; printf '\\n'; end\n"

NASTY = ";&|<>()$`~*?[]{}#!=^%@+:,-/\\'\" \tabn\n\r\0é€\u200b\u202e\u00a0日"
INERT = [char for char in NASTY if char.isprintable() and char != "\u00a0"]
WORDS = [
    '"$HOME"',
    '"`id`"',
    '"$(id)"',
    '"\\$x"',
    '"a\\b"',
    "ls",
    "-n",
    "--x=y",
    "a=b",
    "~",
    "$HOME",
    "$(id)",
    "`id`",
    "${IFS}",
    "*",
    "?",
    "[a-z]",
    "{a,b}",
    "!!",
    "#",
    "=ls",
    "&&",
    "||",
    ";",
    ">x",
    "<(id)",
    "$'a'",
    "\\$x",
    "%self",
    "%1",
    "^",
    "-",
    "--",
    "a~",
    "a:~",
    "x=~",
    "1",
    "if",
    "done",
    "(",
    "nginx",
    "/etc/passwd",
]


@pytest.fixture(scope="module", params=SHELLS)
def shell(request):
    """Each shell in turn; one that is missing is a failure, for then nothing would be compared."""
    if shutil.which(request.param) is None:
        pytest.fail(f"{request.param} is not installed: install dash, bash, zsh and fish to run this test")
    return str(request.param)


def run(shell: str, script: str, folder: Path) -> list[tuple[str, ...]]:
    """The words that each `show` of a script was given, in order."""
    path = folder / f"script.{shell}"
    path.write_text((FISH_SHOW if shell == "fish" else POSIX_SHOW) + script, encoding="utf-8")
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        [*SHELLS[shell], str(path)],
        capture_output=True,
        check=False,
        cwd=folder,
        env=environment,
        timeout=120,
    )
    assert not done.stderr, f"{shell} says {done.stderr[:500].decode(errors='replace')}"
    return [tuple(record.split("\0")[:-1]) for record in done.stdout.decode().split("\n")[:-1]]


def piece(rng: random.Random) -> str:
    """A piece of a line, mostly one that the parser takes, dense with characters that mean something to
    shells.
    """
    kind = rng.randrange(8)
    if kind <= 1:
        inner = "".join(rng.choice(INERT) for _ in range(rng.randrange(6)))
        return "'" + inner.replace("'", "") + "'"
    if kind == 2:
        left_out = rng.choice(["$`!", "$`!", "$`!", ""])
        inner = [char for char in rng.choices(INERT, k=rng.randrange(6)) if char not in left_out]
        return '"' + "".join("\\" + char if char in '"\\' else char for char in inner) + '"'
    if kind == 3:
        return "\\" + rng.choice(INERT)
    if kind == 4:
        return rng.choice(["a", "b1", "é", "-x", "a=b", "x/y", "%", "^", "@", "+", ":", ",", "."])
    return rng.choice([" ", " ", "  ", rng.choice(WORDS[:3]), "日"])


def line(rng: random.Random) -> str:
    """A random line; one in three has something raw in it that will mostly be refused."""
    pieces = [piece(rng) for _ in range(rng.randrange(1, 9))]
    if rng.randrange(3) == 0:
        raw = rng.choice([*NASTY, *WORDS])
        pieces.insert(rng.randrange(len(pieces) + 1), raw)
    return rng.choice(["show ", "sho'w' ", '"show" ', "\\show "]) + "".join(pieces)


def accepted(seed: int) -> list[tuple[str, tuple[str, ...]]]:
    """Of 20,000 random lines those that the parser takes, with their words."""
    rng = random.Random(seed)
    found = []
    for text in (line(rng) for _ in range(LINES)):
        try:
            found.append((text, parse_line(text)))
        except LineRefused:
            continue
    return found


def compare(seed, shell, texts, script, expected, folder):
    """Run a script whose lines are made of these texts, and compare the words that each was given."""
    seen = run(shell, script, folder)
    for text, wanted, got in zip(texts, expected, seen, strict=False):
        assert got == wanted, f"seed {seed}: {shell} reads {text!r} as {got!r}, not as {wanted!r}"
    assert len(seen) == len(expected), f"seed {seed}: {shell} stopped at {texts[len(seen)]!r}"


@pytest.fixture(scope="module", params=SEEDS, ids=["fixed-seed", "random-seed"][: len(SEEDS)])
def sample(request):
    """A seed and its accepted lines."""
    print(f"STINT_SHELL_SEED={request.param}")
    return request.param, accepted(request.param)


def test_a_good_share_of_the_random_lines_is_accepted(sample):
    seed, found = sample
    distinct = {text for text, _ in found}
    hard = {text for text in distinct if set(text) & set(";&|<>()$`~*?[]{}#!\\'\"")}
    assert LINES * 0.4 < len(distinct) < LINES * 0.95, f"seed {seed}"
    assert len(hard) > LINES * 0.3, f"seed {seed}"


@pytest.mark.parametrize(
    ("shell", "typed"),
    [*((one, False) for one in SHELLS), *((one, True) for one in ("dash", "bash", "zsh"))],
    indirect=["shell"],
    ids=lambda value: {False: "quoted", True: "as typed"}.get(value),
)
def test_a_line_as_typed_and_its_quoted_words_reach_the_program_as_the_words(shell, typed, sample, tmp_path):
    seed, found = sample
    script = "".join(f"{text if typed else quote_argv(argv)}\n" for text, argv in found)
    expected = [argv[1:] or ("",) for _, argv in found]
    compare(seed, shell, [text for text, _ in found], script, expected, tmp_path)


def test_any_word_without_a_line_end_survives_quoting_in_every_shell(shell, tmp_path):
    seed = SEEDS[-1]
    rng = random.Random(seed)
    alphabet = [chr(code) for code in range(1, 256) if chr(code) not in "\r\n"] + list("€日本𝄞\u200b\u202e")
    words = [
        tuple("".join(rng.choices(alphabet, k=rng.randrange(12))) for _ in range(3)) for _ in range(3000)
    ]
    script = "".join(f"show {quote_argv(argv)}\n" for argv in words)
    compare(seed, shell, [repr(argv) for argv in words], script, words, tmp_path)


def test_a_program_started_by_the_shell_gets_exactly_the_words(shell, sample, tmp_path):
    """Not a function but a process, started as a login shell starts a forced command: `SHELL -c`,
    one each.
    """
    seed, found = sample
    rng = random.Random(seed)
    for text, argv in rng.sample(found, 40):
        command = "exec " + quote_argv(("env", "JIT_REQ=x", "printf", "%s\\0", *argv[1:], ""))
        done = subprocess.run(
            [*SHELLS[shell], "-c", command], capture_output=True, check=True, cwd=tmp_path, timeout=30
        )
        got = tuple(done.stdout.decode().split("\0")[:-2])
        assert got == argv[1:], f"seed {seed}: {shell} reads {text!r} as {got!r}"


@pytest.mark.parametrize("shell", ["dash", "bash"], indirect=True)
@pytest.mark.parametrize(
    "word", ["if", "then", "for", "while", "case", "do", "done", "function", "A=b", "a+=b", "LD_PRELOAD=x"]
)
def test_a_first_word_that_the_shell_would_not_run_is_refused(shell, word):
    with pytest.raises(LineRefused):
        parse_line(f"{word} x")
    done = subprocess.run(
        [*SHELLS[shell], "-c", f"{quote(word)} x"], capture_output=True, check=False, timeout=30
    )
    assert b"not found" in done.stderr, "quoted, it is the name of a program that does not exist"
