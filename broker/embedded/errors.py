"""The base class of this package's errors."""

from __future__ import annotations


class EmbeddedError(RuntimeError):
    """An embedded server can't be used. The message gives the reason and the fix."""
