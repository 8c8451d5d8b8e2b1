"""Text from outside: not too long, without anything that a database can't store, and without private keys."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from broker.kernel.errors import InvalidInput

MAX_TEXT = 4000
# Of a word or a line that is stored as it was tried.
MAX_STORED = 8000
# NUL, and lone surrogates, which UTF-8 can't encode.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Lines of a key may be separated by spaces, or by `\n` in JSON or in quotes.
_GAP = r"(?:\s|\\+[nrt])*+"
# Only what can be key material goes with the marker. Anything else that follows was tried, and must stay visible.
# Shorter words only count as a last line, before the end marker.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*PRIVATE KEY(?: BLOCK)?)-----"
    rf"(?:{_GAP}(?:Proc-Type|DEK-Info|Version|Comment): [\w.,/+ -]{{1,80}}(?=\s|\\))*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]{{16,}}+)*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]*+{_GAP}-----END \1-----)?"
)
_REDACTED = re.compile(r"\[private key, sha256:[0-9a-f]{64}\]")


def is_storable(text: str) -> bool:
    """Whether a database can store the text, and so be queried for it."""
    return _UNSTORABLE.search(text) is None


def recordable(text: str) -> str:
    r"""Return text as it may be stored. A private key is replaced by its digest, ``[private key, sha256:…]``. NUL and
    lone surrogates are written as ``\x00`` and ``\udc80``. Everything else stays, so that what was tried remains
    visible.
    """
    return _UNSTORABLE.sub(lambda odd: ascii(odd.group())[1:-1], without_keys(text))


def without_keys(text: str) -> str:
    """Return the text with each private key in it replaced by its digest."""
    return _PRIVATE_KEY.sub(_digest, text)


def recordable_words(words: Iterable[str]) -> list[str]:
    """Return the words of a command as they may be stored. A word longer than 8,000 characters, such as a request body,
    is cut, and its digest replaces the rest.
    """
    return [_stored(word, 1000) for word in words]


def recordable_line(line: str) -> str:
    """Return a line that was tried as it may be stored. If it is longer than 8,000 characters, its length and digest
    replace the end.
    """
    return _stored(line, 7800)


def _stored(text: str, kept: int) -> str:
    if len(text) <= MAX_STORED:
        return recordable(text)
    whole = text.encode("utf-8", "surrogatepass")
    # A key is masked before the cut, which could leave a part of it that no longer looks like one.
    return f"{recordable(text)[:kept]}… [{len(whole)} bytes, sha256:{hashlib.sha256(whole).hexdigest()}]"


def has_redaction(text: str) -> bool:
    """Whether a private key was removed from the text."""
    return _REDACTED.search(text) is not None


def _digest(key: re.Match[str]) -> str:
    return f"[private key, sha256:{hashlib.sha256(key.group().encode()).hexdigest()}]"


def checked_text(text: str, *, field: str, longest: int = MAX_TEXT) -> str:
    """Return the text without outer spaces and private keys. Raises InvalidInput, which names ``field``, if it is too
    long or can't be stored.
    """
    if len(text) > longest:
        says = f"The {field} is longer than {longest} characters."
        raise InvalidInput(says, hint="Make it shorter, or link to the long version.", fields={field: [says]})
    if not is_storable(text):
        says = f"The {field} contains a character that can't be stored."
        raise InvalidInput(says, hint="Type it again instead of pasting it.", fields={field: [says]})
    return without_keys(text).strip()
