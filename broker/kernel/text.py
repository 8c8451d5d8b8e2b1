"""Text from outside: not too long, nothing in it that a database can't hold, and no private key."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from broker.kernel.errors import InvalidInput

MAX_TEXT = 4000
MAX_WORD = 8000
# NUL, and halves of characters that no UTF-8 has.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Lines of a key may be parted by spaces, or by `\n` where it stands in JSON or in quotes.
_GAP = r"(?:\s|\\+[nrt])*+"
# Only what can be key material goes with the marker: what else follows was tried, and must be seen. Shorter words are
# taken for a last line alone, before the end marker.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*PRIVATE KEY(?: BLOCK)?)-----"
    rf"(?:{_GAP}(?:Proc-Type|DEK-Info|Version|Comment): [\w.,/+ -]{{1,80}}(?=\s|\\))*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]{{16,}}+)*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]*+{_GAP}-----END \1-----)?"
)
_REDACTED = re.compile(r"\[private key, sha256:[0-9a-f]{64}\]")


def is_storable(text: str) -> bool:
    """Whether a database can hold the text, and so be asked for it."""
    return _UNSTORABLE.search(text) is None


def recordable(text: str) -> str:
    r"""Return text as it may be kept: a private key is replaced by its digest, ``[private key, sha256:…]``, and NUL and
    lone surrogates are written as ``\x00`` and ``\udc80``. All else stays, so that what was tried is still seen.
    """
    return _UNSTORABLE.sub(lambda odd: ascii(odd.group())[1:-1], without_keys(text))


def without_keys(text: str) -> str:
    """Return the text with each private key in it replaced by its digest."""
    return _PRIVATE_KEY.sub(_digest, text)


def recordable_words(words: Iterable[str]) -> list[str]:
    """Return the words of a command as they may be kept. A longer one than 8,000 characters, such as the body of a request, is
    cut, and its digest stands in for the rest.
    """
    return [recordable(word if len(word) <= MAX_WORD else _cut(word)) for word in words]


def _cut(word: str) -> str:
    whole = word.encode("utf-8", "surrogatepass")
    return f"{word[:1000]}… [{len(whole)} bytes, sha256:{hashlib.sha256(whole).hexdigest()}]"


def has_redaction(text: str) -> bool:
    """Whether a private key was taken out of the text."""
    return _REDACTED.search(text) is not None


def _digest(key: re.Match[str]) -> str:
    return f"[private key, sha256:{hashlib.sha256(key.group().encode()).hexdigest()}]"


def checked_text(text: str, *, field: str, longest: int = MAX_TEXT) -> str:
    """Return the text without outer spaces and private keys. Raises InvalidInput, which names ``field``, when it can't be kept."""
    if len(text) > longest:
        says = f"The {field} is longer than {longest} characters."
        raise InvalidInput(says, hint="Make it shorter, or link to the long version.", fields={field: [says]})
    if not is_storable(text):
        says = f"The {field} contains a character that can't be stored."
        raise InvalidInput(says, hint="Type it again instead of pasting it.", fields={field: [says]})
    return without_keys(text).strip()
