"""References such as `GR-7F3K`, as people see and type them: patterns that match a whole reference, and
helpers.

`broker/cli/served.py` and `connectors/kubernetes/plugin.py` are installed separately, and have copies of the
grant pattern.
"""

from __future__ import annotations

import re

_LONGEST = 13
# The maximum number of characters of a grant's reference.
LONGEST_GRANT = len("GR-") + _LONGEST
GRANT = f"GR-[0-9A-Z]{{4,{_LONGEST}}}"
REQUEST = "REQ-[0-9]{1,9}"
# The kinds of workflows that can be opened in Stint, by prefix.
PREFIXES = {"incident": "INC", "change": "CHG", "ticket": "TKT", "task": "TSK"}
INCIDENT = f"{PREFIXES['incident']}-[0-9]{{1,9}}"
# The name of a cluster, target, command set, policy, group or source.
NAME = "[a-z0-9][a-z0-9_-]{0,62}"
# The reference of a workflow: one opened in Stint (`INC-101`), or the name of a source, a colon, and the ID
# in that source.
WORKFLOW = f"(({'|'.join(PREFIXES.values())})-[0-9]{{1,9}}|{NAME}:[A-Za-z0-9_][A-Za-z0-9_.:~-]{{0,124}})"

_BEGINNING = re.compile(f"GR-[0-9A-Z]{{0,{_LONGEST}}}", re.IGNORECASE)
_TYPED = re.compile(f"(GR|REQ|{'|'.join(PREFIXES.values())})-?([0-9A-Z]+)", re.IGNORECASE)


def spelled(text: str) -> str:
    """Return text that may be a reference in canonical spelling: `gr7f3k` becomes GR-7F3K, and `inc-0101`
    becomes INC-101.
    """
    typed = _TYPED.fullmatch(text)
    if typed is None:
        return text
    prefix, rest = typed[1].upper(), typed[2].upper()
    return f"{prefix}-{rest if prefix == 'GR' else rest.lstrip('0') or '0'}"


def grants_beginning(text: str) -> tuple[str, str] | None:
    """Return the lowest and the highest grant reference that can begin with a string; None if none can."""
    start = text.upper()
    return (start, f"{start}{'Z' * _LONGEST}") if _BEGINNING.fullmatch(text) else None


def request_ref(number: int) -> str:
    """Return the reference of a request: `REQ-1042`."""
    return f"REQ-{number}"


def request_number(ref: str) -> int:
    """Return the number of a request. If the text is not a request's reference, return 0, which is never a
    request's number.
    """
    return int(ref.removeprefix("REQ-")) if re.fullmatch(REQUEST, ref) else 0
