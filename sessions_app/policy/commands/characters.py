"""Characters that no command or value may contain, because an approver could not see them."""

import unicodedata

# Printable by Unicode category, but invisible (Default_Ignorable_Code_Point, blank letters).
_INVISIBLE = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            0x180B,
            0x180C,
            0x180D,
            0x180F,
            0x2800,
            0x3164,
            0xFFA0,
            *range(0xFE00, 0xFE10),
            *range(0xE0100, 0xE01F0),
        ),
    )
)

_NAMES = {"\n": "newline", "\r": "carriage return", "\t": "tab", "\0": "NUL"}


def hidden_at(text: str) -> int | None:
    """Return the offset of the first control, bidirectional, zero-width, unassigned or otherwise invisible
    character; None if there is none.

    Spaces other than U+0020 count as invisible because they look the same as U+0020.
    """
    if text.isascii() and text.isprintable():
        return None
    if text.isprintable() and _INVISIBLE.isdisjoint(text):
        return None
    return next(at for at, char in enumerate(text) if not char.isprintable() or char in _INVISIBLE)


def show(char: str) -> str:
    """Format a character readably: quoted or, if invisible, as its code point and name."""
    if hidden_at(char) is None:
        return f"“{char}”"
    name = _NAMES.get(char) or unicodedata.name(char, "").lower()
    return f"U+{ord(char):04X} ({name})" if name else f"U+{ord(char):04X}"


def folded(text: str) -> str:
    """Return text with letter case removed, for case-insensitive comparison.

    Treats i, ı and İ as the same letter, like `re.IGNORECASE`.
    """
    return text.upper().casefold().replace("i\u0307", "i")


def clip(text: str, *, length: int = 60) -> str:
    """Shorten text for a message and wrap it in backquotes."""
    return f"`{text if len(text) <= length else text[: length - 1] + '…'}`"
