"""Assign form errors to fields. Each error is shown once; only errors without a field are shown above the
form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from broker.kernel.errors import InvalidInput, StintError
from sessions_app.policy.documents import Problem
from sessions_app.web.templatetags.stint import in_zone


@dataclass(frozen=True, slots=True)
class Faults:
    """The errors of a form. ``at`` maps field names to errors, in field order. ``above`` is the text above
    the form.
    """

    at: Mapping[str, str] = field(default_factory=dict)
    above: tuple[str, ...] = ()
    # The errors that are shown at fields, by the names that the error gives to the fields.
    said: frozenset[str] = frozenset()

    @property
    def texts(self) -> str:
        """The text of all field errors."""
        return " ".join(self.at.values())


def faults_of(error: StintError | None, names: str) -> Faults:
    """Assign the messages of an error to a form's fields.

    ``names`` are the form's fields in order. `days:lifetime,until` is the field `days`, whose name in errors
    is `lifetime` or `until`.
    """
    if error is None:
        return Faults()
    left = {name: [in_zone(text, error) for text in texts] for name, texts in error.fields.items()}
    at: dict[str, str] = {}
    for shown, _, called in (name.partition(":") for name in names.split()):
        if texts := [text for name in (called or shown).split(",") for text in left.pop(name, [])]:
            at[shown] = _once(texts)
    said = frozenset(error.fields) - frozenset(left)
    message, hint = in_zone(error.message, error), in_zone(error.hint, error)
    # If two rules have the same text, show the text once, at the field.
    said_at = " ".join(at.values())
    left = {name: texts for name, texts in left.items() if any(text not in said_at for text in texts)}
    if left or not at:
        more = (text for texts in left.values() for text in texts if text not in f"{message} {hint}")
        return Faults(at, (message, _once([hint, *more])), said)
    if len(at) == 1:
        ((name, text),) = at.items()
        return Faults(
            {name: _once([text, hint] if message in text else [message, hint, text if _tells(text) else ""])},
            (),
            said,
        )
    above = count_of(at) if message in " ".join(at.values()) else (message, *count_of(at))
    return Faults(at, above, said)


def faults_of_document(problems: Sequence[Problem], names: str) -> Faults:
    """Assign a document's errors to the fields of its form. ``names`` has the same format as for
    ``faults_of``, with the document's top-level keys.
    """
    fields: dict[str, list[str]] = {}
    for problem in problems:
        key = re.split(r"[.\[]", problem.path)[0]
        fields.setdefault(key, []).append(problem.sentence)
    return faults_of(InvalidInput("Nothing was saved.", fields=fields), names)


def count_of(at: Mapping[str, str]) -> tuple[str, ...]:
    """Return the text above a form with several invalid fields. For a single one, return nothing."""
    return (f"{len(at)} fields need fixing.",) if len(at) > 1 else ()


def _tells(text: str) -> bool:
    """Whether a message has details, unlike a fragment such as “Needed.”."""
    return len(text.split()) > 2


def _once(texts: list[str]) -> str:
    """Join messages, leaving out those contained in an earlier message."""
    kept: list[str] = []
    for text in texts:
        if text and not any(text.rstrip(".") in one for one in kept):
            kept.append(text)
    return " ".join(kept)
