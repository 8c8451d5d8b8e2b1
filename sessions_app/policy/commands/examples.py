"""The examples of a command set, held against what it really allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import compile_open, decide


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example that does not hold: the line, what it should be, and what it is instead."""

    where: str
    line: str
    expected: Literal["allow", "refuse"]
    message: str


def check_examples(document: CommandSetDocument) -> list[ExampleFailure]:
    """The examples that do not hold; empty when the version may be published.

    A line under `allow` must be allowed by a grant with some values, a line under `refuse` by none whatever
    its values.
    """
    return [
        *_check(document, "allow", document.examples.allow),
        *_check(document, "refuse", document.examples.refuse),
    ]


def _check(
    document: CommandSetDocument, expected: Literal["allow", "refuse"], lines: Sequence[str]
) -> list[ExampleFailure]:
    compiled = compile_open(document)
    failures = []
    for index, line in enumerate(lines):
        verdict = decide(compiled, line)
        if isinstance(verdict, Allowed) == (expected == "allow"):
            continue
        if isinstance(verdict, Allowed):
            values = "".join(f" with {name} = {clip(value)}" for name, value in verdict.matched.items())
            message = f"is allowed by commands[{verdict.index}]{values}: narrow that command"
        else:
            message = f"is refused: {verdict.reason}" + (
                f" (nearest: {verdict.nearest})" if verdict.nearest else ""
            )
        failures.append(ExampleFailure(f"examples.{expected}[{index}]", line, expected, message))
    return failures
