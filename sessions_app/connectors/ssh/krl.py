"""An empty key revocation list (OpenSSH PROTOCOL.krl). A target without the file refuses every login."""

from __future__ import annotations

import base64

_MAGIC = b"SSHKRL\n\0"
_FORMAT = 1


def empty_krl() -> bytes:
    """Return a list that revokes nothing: version, date and flags 0, no comment, no sections."""
    return _MAGIC + _FORMAT.to_bytes(4, "big") + bytes(8 + 8 + 8) + bytes(4 + 4)


def empty_krl_base64() -> str:
    """Return the empty list in base64."""
    return base64.b64encode(empty_krl()).decode()
