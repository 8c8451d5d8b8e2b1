"""The fenced blocks of the guides: files of a catalog, and commands with their output."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.environment import ROOT

FOLDER = ROOT / "templates" / "docs"
# `# policies/web-work.yaml`, the first line of a file of the catalog.
_FILE = re.compile(r"# ([a-z-]+/[a-z0-9-]+\.yaml)\n")


@dataclass(frozen=True)
class Fence:
    """A code block. ``options`` are the words NAME=VALUE, or NAME alone, after its language."""

    guide: str
    line: int
    language: str
    options: dict[str, str]
    text: str

    @property
    def place(self) -> str:
        return f"{self.guide}.md:{self.line}"

    @property
    def file(self) -> str:
        """The path in a catalog of the document in the block; empty if it has none."""
        found = _FILE.match(self.text)
        return found[1] if found else ""


@dataclass(frozen=True)
class Step:
    """A command, with its expected output."""

    command: str
    answer: list[str]


def guides() -> list[str]:
    """Return the names of all guides."""
    return sorted(path.stem for path in FOLDER.glob("*.md"))


def source(name: str) -> str:
    return Path(FOLDER / f"{name}.md").read_text(encoding="utf-8")


def builds_on(name: str) -> list[str]:
    """Return the guides that a guide declares as prerequisites."""
    said = re.search(r"^This guide builds on (.+(?:\n.+)*)", source(name), re.MULTILINE)
    return re.findall(r"\(/docs/([a-z-]+)/\)", said[1]) if said else []


def fences(name: str) -> list[Fence]:
    """Return the blocks of a guide, in order, including those in lists and quotes."""
    found = []
    for token in MarkdownIt("commonmark").parse(source(name)):
        if token.type not in ("fence", "code_block"):
            continue
        language, *words = shlex.split(token.info) or [""]
        options = {word.partition("=")[0]: word.partition("=")[2] for word in words}
        found.append(Fence(name, (token.map or [0])[0] + 1, language, options, token.content))
    return found


def steps(text: str) -> Iterator[Step]:
    """Yield the commands of a console block: lines after `$ `, their continuations, and the output."""
    command, answer, goes_on = "", list[str](), False
    for line in text.splitlines():
        if goes_on:
            command += f"\n{line}"
        elif line.startswith("$ "):
            if command:
                yield Step(command, answer)
            command, answer = line[2:], []
        elif line:
            answer.append(line)
        goes_on = (goes_on or line.startswith("$ ")) and line.endswith("\\")
    if command:
        yield Step(command, answer)
