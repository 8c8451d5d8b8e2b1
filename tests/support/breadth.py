"""How much of what could be tried is tried: every value, role and page at a desk, and all that they make together otherwise.

``CI=true make test`` and ``make test FULL=1`` try all of it. The tests are the same.
"""

from __future__ import annotations

import os

FULL = os.environ.get("CI") == "true" or os.environ.get("FULL") == "1"


def examples(most: int) -> int:
    """How many examples hypothesis makes of what deserves `most` of them: a fifth at a desk."""
    return most if FULL else -(-most // 5)
