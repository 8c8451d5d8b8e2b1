"""Characters that no command and no value may contain, because a person who approves them could not see them."""

import unicodedata

# Printable according to Unicode's categories, but invisible (Default_Ignorable_Code_Point, blank letters).
_INVISIBLE = frozenset(
    map(
        chr,
        (
            0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2800, 0x3164, 0xFFA0,
            *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0),
        ),
    )
)  # fmt: skip

_NAMES = {"\n": "newline", "\r": "carriage return", "\t": "tab", "\0": "NUL"}


def hidden_at(text: str) -> int | None:
    """Return the offset of the first control, bidirectional, zero-width, unassigned or otherwise invisible character;
    None if there is none.

    Spaces other than U+0020 count as invisible: nobody can tell them apart from it.
    """
    if text.isascii() and text.isprintable():
        return None
    if text.isprintable() and _INVISIBLE.isdisjoint(text):
        return None
    return next(at for at, char in enumerate(text) if not char.isprintable() or char in _INVISIBLE)


def show(char: str) -> str:
    """Format a character readably: in quotes, or as code and name if it is invisible."""
    if hidden_at(char) is None:
        return f"“{char}”"
    name = _NAMES.get(char) or unicodedata.name(char, "").lower()
    return f"U+{ord(char):04X} ({name})" if name else f"U+{ord(char):04X}"


def folded(text: str) -> str:
    """Return a text without its letter case: the same for all texts that a reader who ignores case takes for one.

    As `re.IGNORECASE` does, it takes i, ı and İ for one letter.
    """
    return text.upper().casefold().replace("i\u0307", "i")


def clip(text: str, *, length: int = 60) -> str:
    """Shorten text for a message and put it in backquotes."""
    return f"`{text if len(text) <= length else text[: length - 1] + '…'}`"
