"""Text that people send: not too long, and nothing in it that a database can't hold."""

from __future__ import annotations

import re

from broker.kernel.errors import InvalidInput

MAX_TEXT = 4000
# NUL, and halves of characters that no UTF-8 has.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def is_storable(text: str) -> bool:
    """Whether a database can hold the text, and so be asked for it."""
    return _UNSTORABLE.search(text) is None


def checked_text(text: str, *, field: str, longest: int = MAX_TEXT) -> str:
    """Return the text without outer spaces. Raises InvalidInput, which names ``field``, when it can't be kept."""
    if len(text) > longest:
        raise InvalidInput(
            f"The {field} is longer than {longest} characters.",
            hint="Make it shorter, or link to the long version.",
            fields={field: [f"At most {longest} characters."]},
        )
    if not is_storable(text):
        raise InvalidInput(
            f"The {field} has a character that can't be stored.",
            hint="Type it again instead of pasting it.",
            fields={field: ["Has a NUL or half a character."]},
        )
    return text.strip()
