"""File modes as chmod, install and mkdir accept them: `4755`, `u+s`, `o-x+w`, `+4000`."""

import re
from collections.abc import Iterator

_CLAUSE = re.compile(r"([ugoa]*)((?:[-+=](?:[0-7]+|[rwxXstugo]*))+)")
_ACTION = re.compile(r"([-+=])([0-7]+|[rwxXstugo]*)")
_SET_ID, _WORLD_WRITES = 0o6000, 0o2


def mode_code(text: str) -> str | None:
    """Return the danger of a mode that sets setuid or setgid, or makes a file writable by everyone; None for
    other modes.
    """
    given = list(_given(text))
    if any(_sets_id(bits) for _, bits in given):
        return "suid"
    return "world_writable" if any(_opens(who, bits) for who, bits in given) else None


def _given(text: str) -> Iterator[tuple[str, str]]:
    """Yield the bits that a mode grants, and to whom. A mode without a class applies to everyone."""
    if text.isdigit():
        yield "a", text
    for clause in text.split(","):
        found = _CLAUSE.fullmatch(clause)
        for sign, bits in _ACTION.findall(found[2]) if found else ():
            if sign != "-":
                yield found[1] if found else "", bits


def _sets_id(bits: str) -> bool:
    return bool(int(bits, 8) & _SET_ID) if bits.isdigit() else "s" in bits


def _opens(who: str, bits: str) -> bool:
    """Whether this part of a mode lets others write. Without a class (`+w`), the umask decides."""
    if bits.isdigit():
        return bool(int(bits, 8) & _WORLD_WRITES)
    return bool(set(who) & set("oa")) and bool(set(bits) & set("wug"))
