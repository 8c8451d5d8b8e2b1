"""Whether the open values of one grant are within those of another. If this can't be proven, the answer is
no.

Each kind of command has its own rule (`covers`). This module contains the shared parts.
"""

from __future__ import annotations

import ipaddress

from sessions_app.policy.commands.document import EFFECT_RANK, Effect
from sessions_app.policy.commands.parameters import (
    Choice,
    Cidr,
    Duration,
    Int,
    Name,
    ParameterType,
    PathBelow,
    ValueRefused,
    WorkflowValue,
    seconds_of,
)

_WORKFLOW_NAME = 64
# Why a `read` command is refused if the same use could be a `change` under the parent.
UNDERSTATED = "would be shown with a weaker effect than it can have"


def understates(inner: Effect, outer: Effect) -> bool:
    """Whether a use would be shown, and recorded over HTTP, with a weaker effect than in the parent grant."""
    return EFFECT_RANK[inner] > EFFECT_RANK[outer]


def accepts(type_: ParameterType, value: str) -> bool:
    """Whether a type accepts a value in canonical form."""
    try:
        type_.accept(value)
    except ValueRefused:
        return False
    return True


def type_within(inner: ParameterType, outer: ParameterType) -> bool:
    """Whether every value of one type is a value of the other."""
    if _bare(inner) == _bare(outer):
        return True
    if isinstance(inner, Choice):
        return all(accepts(outer, value) for value in inner.choices)
    if isinstance(inner, Int) and isinstance(outer, Int):
        return outer.bounds[0] <= inner.bounds[0] and inner.bounds[1] <= outer.bounds[1]
    if isinstance(inner, PathBelow) and isinstance(outer, PathBelow):
        return f"{inner.root.rstrip('/')}/".startswith(f"{outer.root.rstrip('/')}/")
    if isinstance(inner, Name | WorkflowValue) and isinstance(outer, Name | WorkflowValue):
        return longest_of(inner) <= longest_of(outer)
    if isinstance(inner, Cidr) and isinstance(outer, Cidr):
        return all(accepts(outer, str(ipaddress.ip_network(one))) for one in inner.networks)
    if isinstance(inner, Duration) and isinstance(outer, Duration):
        (low, high), (least, most) = map(seconds_of, inner.bounds), map(seconds_of, outer.bounds)
        return least <= low and high <= most
    # In general, it is undecidable whether one pattern matches everything that another one matches.
    return False


def _bare(type_: ParameterType) -> tuple[type, str]:
    """Return a type without its `from`."""
    return type(type_), type_.model_copy(update={"source": None}).model_dump_json()


def longest_of(type_: Name | WorkflowValue) -> int:
    """Return the maximum number of characters of a name."""
    return type_.longest if isinstance(type_, Name) else _WORKFLOW_NAME


class Names:
    """Maps the outer command's parameters to their counterparts in the inner command: a value or a parameter.
    Each parameter has one counterpart.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, object]] = {}

    def value(self, name: str, text: str) -> bool:
        """Whether this value can be the counterpart of an outer parameter."""
        return self._same(name, ("value", text))

    def place(self, name: str, inner: object) -> bool:
        """Whether this inner parameter can be the counterpart of an outer parameter."""
        return self._same(name, ("place", inner))

    def _same(self, name: str, what: tuple[str, object]) -> bool:
        return self._known.setdefault(name, what) == what
