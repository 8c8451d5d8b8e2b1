"""Sanitization of text from users: length limits, characters that the database can't store, and
private keys.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

from broker.kernel.errors import InvalidInput

MAX_TEXT = 4000
# The maximum length of a command's word or line that is stored in full.
MAX_STORED = 8000
# NUL, and lone surrogates, which UTF-8 can't encode.
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")
# Lines of a key may be separated by spaces, or by `\n` in JSON or in quotes.
_GAP = r"(?:\s|\\+[nrt])*+"
# Only text that can be key material is removed along with the begin marker. Any other text after the marker
# must remain visible, because it is part of the command that the holder tried to run. Shorter words count as
# key material only in the last line before the end marker.
_PRIVATE_KEY = re.compile(
    r"-----BEGIN ([A-Z ]*PRIVATE KEY(?: BLOCK)?)-----"
    rf"(?:{_GAP}(?:Proc-Type|DEK-Info|Version|Comment): [\w.,/+ -]{{1,80}}(?=\s|\\))*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]{{16,}}+)*+"
    rf"(?:{_GAP}[A-Za-z0-9+/=]*+{_GAP}-----END \1-----)?"
)
_REDACTED = re.compile(r"\[private key, sha256:[0-9a-f]{64}\]")


def is_storable(text: str) -> bool:
    """Whether the database can store the text and can be queried for it."""
    return _UNSTORABLE.search(text) is None


def recordable(text: str) -> str:
    r"""Return text in a form that can be stored. Private keys are replaced by their digests, ``[private key,
    sha256:…]``, and NUL and lone surrogates are escaped as ``\x00`` and ``\udc80``. All other text is
    unchanged, so that the record shows what was tried.
    """
    return _UNSTORABLE.sub(lambda odd: ascii(odd.group())[1:-1], without_keys(text))


def without_keys(text: str) -> str:
    """Return the text with all private keys replaced by their digests."""
    return _PRIVATE_KEY.sub(_digest, text)


def recordable_words(words: Iterable[str]) -> list[str]:
    """Return the words of a command in a form that can be stored. A word longer than 8,000 characters, such
    as a request body, is truncated, with its length and digest at the end.
    """
    return [_stored(word, 1000) for word in words]


def recordable_line(line: str) -> str:
    """Return a command line in a form that can be stored. A line longer than 8,000 characters is truncated,
    with its length and digest at the end.
    """
    return _stored(line, 7800)


def _stored(text: str, kept: int) -> str:
    if len(text) <= MAX_STORED:
        return recordable(text)
    whole = text.encode("utf-8", "surrogatepass")
    # Keys are masked before the text is truncated, because part of a key would not be recognized.
    return f"{recordable(text)[:kept]}… [{len(whole)} bytes, sha256:{hashlib.sha256(whole).hexdigest()}]"


def has_redaction(text: str) -> bool:
    """Whether the text has the digest of a removed private key."""
    return _REDACTED.search(text) is not None


def _digest(key: re.Match[str]) -> str:
    return f"[private key, sha256:{hashlib.sha256(key.group().encode()).hexdigest()}]"


def checked_text(text: str, *, field: str, longest: int = MAX_TEXT) -> str:
    """Return the text without outer spaces and private keys.

    Raises InvalidInput for ``field`` if the text is too long or can't be stored.
    """
    if len(text) > longest:
        says = f"The {field} is longer than {longest} characters."
        raise InvalidInput(says, hint="Make it shorter, or link to the long version.", fields={field: [says]})
    if not is_storable(text):
        says = f"The {field} contains a character that can't be stored."
        raise InvalidInput(says, hint="Type the text again instead of pasting it.", fields={field: [says]})
    return without_keys(text).strip()
