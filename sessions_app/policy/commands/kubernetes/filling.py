"""Fill a form's values into the commands of a grant, and decide the result like a typed line."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sessions_app.policy.commands.answers import Allowed, Refused
from sessions_app.policy.commands.argv.matching import NOT_LISTED, values_fault
from sessions_app.policy.commands.argv.quoting import readable
from sessions_app.policy.commands.argv.templates import fill as fill_word
from sessions_app.policy.commands.kubernetes.compiling import CompiledKubernetesCommand, CompiledSet
from sessions_app.policy.commands.kubernetes.decide import decide
from sessions_app.policy.commands.kubernetes.entering import Enters
from sessions_app.policy.commands.kubernetes.sending import sent_alone
from sessions_app.policy.commands.parameters import ValueRefused

_SLOT = re.compile(r"\{([a-z][a-z0-9_]{0,62})\}")


def fillable(compiled: CompiledSet) -> frozenset[int]:
    """Return the indices of the commands that Stint can run itself: those that need only a single request."""
    return frozenset(command.index for command in compiled.commands if sent_alone(command.steps) is not None)


def lines_for(compiled: CompiledSet, index: int, values: Mapping[str, str]) -> Allowed | Refused:
    """Fill the command `index` with a form's values, and decide it like a typed line.

    Refuses an unknown index, a missing or unknown value, and a value outside its type.
    """
    command = _find(compiled, index)
    if command is None:
        return NOT_LISTED
    text = command.text(compiled.bindings)
    if refused := values_fault(_free(compiled, command), values, text):
        return refused
    normal: dict[str, str] = {}
    for name, value in values.items():
        try:
            normal[name] = command.types[name].normalize(value)
        except ValueRefused as error:
            return Refused(error.of(name), text, "value", name)
    return decide(compiled, _filled(command, {**compiled.bindings, **normal}))


def line_of(compiled: CompiledSet, index: int, values: Mapping[str, str]) -> str | None:
    """Fill the command `index` with a form's values, and return it as a person would type it, allowed or not.

    Returns None if there is no such command or a value is missing. Raises QuoteRefused for a value that can't
    be quoted.
    """
    command = _find(compiled, index)
    if command is None or _free(compiled, command) - set(values):
        return None
    return _filled(command, {**compiled.bindings, **values})


def _find(compiled: CompiledSet, index: int) -> CompiledKubernetesCommand | None:
    listed = fillable(compiled)
    return next((one for one in compiled.commands if one.index == index and index in listed), None)


def _free(compiled: CompiledSet, command: CompiledKubernetesCommand) -> set[str]:
    return set(command.types) - set(compiled.bindings)


def _filled(command: CompiledKubernetesCommand, values: Mapping[str, str]) -> str:
    head, dashes, _ = command.rule.text.partition(" -- ")
    line = _SLOT.sub(lambda found: readable([values[found[1]]]), head)
    if not dashes:
        return line
    words = next((step.check.words for step in command.steps if isinstance(step.check, Enters)), ())
    return f"{line} -- {readable(''.join(map(str, fill_word(word, values))) for word in words)}"
