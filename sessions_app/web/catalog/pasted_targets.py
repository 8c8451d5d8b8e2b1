"""Targets pasted as lines: `host[:port] [account] [host key]`, such as the output of `ssh-keyscan`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from sessions_app.policy.catalog import fingerprint_of

_KEY = re.compile(r"(?:ssh|ecdsa|sk)-\S+\s+\S.*$")
_PLACE = re.compile(
    r"(?:(?P<user>[^@\s]+)@)?(?:\[(?P<inner>[^\]]+)\]|(?P<host>[^:\s]+|[^:\s]*:[^\s]*:[^\s]*))(?::(?P<port>[^:\s]*))?"
)


@dataclass(frozen=True, slots=True)
class TargetRow:
    """One target as typed."""

    name: str = ""
    address: str = ""
    port: str = ""
    account: str = ""
    host_key: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether the row is blank."""
        return not (self.name or self.address or self.port or self.account or self.host_key)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the host key, to compare with the target's. Empty if the text isn't a key."""
        return fingerprint_of(self.host_key)


def with_pasted(rows: Iterable[TargetRow], text: str) -> tuple[TargetRow, ...]:
    """Return the rows with the pasted targets. If a row with the same address and port exists, a pasted line
    fills in that row's empty fields instead.
    """
    found = [row for row in rows if not row.is_empty]
    for pasted in _rows(text):
        places = [(one.address, one.port) for one in found]
        if (pasted.address, pasted.port) in places:
            at = places.index((pasted.address, pasted.port))
            known = found[at]
            found[at] = replace(
                known, account=known.account or pasted.account, host_key=known.host_key or pasted.host_key
            )
        else:
            found.append(replace(pasted, name=_free(pasted.address, {one.name for one in found})))
    return tuple(found)


def _rows(text: str) -> Iterator[TargetRow]:
    for line in (line.partition("#")[0].strip() for line in text.splitlines()):
        key = _KEY.search(line)
        words = re.split(r"[\s,;]+", line[: key.start()] if key else line)
        place = _PLACE.fullmatch(words[0])
        if not line:
            continue
        host = (place["inner"] or place["host"]) if place else words[0]
        account = (place["user"] if place else "") or next(iter(words[1:]), "")
        port = (place["port"] if place else "") or ""
        yield TargetRow("", host, port, account, key.group() if key else "")


def _free(address: str, taken: set[str]) -> str:
    """Return an unused target name for a host: the first label of its address, or the address with
    hyphens.
    """
    label = address if re.fullmatch(r"[0-9.]+|.*:.*", address) else address.partition(".")[0]
    name = re.sub(r"[^a-z0-9_-]+", "-", label.lower()).strip("-_")[:56] or "target"
    names = (name if n == 1 else f"{name}-{n}" for n in range(1, len(taken) + 2))
    return next(one for one in names if one not in taken)
