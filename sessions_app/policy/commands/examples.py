"""Check the examples of a command set against what it allows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sessions_app.policy.commands.answers import Allowed
from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import compile_open, decide


@dataclass(frozen=True, slots=True)
class ExampleFailure:
    """An example that fails: the line, the expected result, and the actual one."""

    where: str
    line: str
    expected: Literal["allow", "refuse"]
    message: str


def check_examples(document: CommandSetDocument) -> list[ExampleFailure]:
    """Return the examples that fail. If there are none, the version may be published.

    A line under `allow` must be allowed by a grant with some parameter values. A line under `refuse` must not
    be allowed with any values.
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
