"""Which adapter reads the work of which provider.

A package of a third party gives one more by an entry point of the group ``stint.workflows``, which names an
``AdapterType``.
"""

from __future__ import annotations

from functools import cache

from broker.kernel.packages import added_by_packages
from sessions_app.workflows.base import AdapterType
from sessions_app.workflows.github import TYPE as GITHUB
from sessions_app.workflows.gitlab import TYPE as GITLAB
from sessions_app.workflows.pagerduty import TYPE as PAGERDUTY
from sessions_app.workflows.standard import TYPE as STANDARD

GROUP = "stint.workflows"
_types: dict[str, AdapterType] = {one.provider: one for one in (PAGERDUTY, GITHUB, GITLAB, STANDARD)}


def register(adapter_type: AdapterType) -> None:
    """Let a type read its provider's work, in place of any that was registered before."""
    _types[adapter_type.provider] = adapter_type


def types() -> dict[str, AdapterType]:
    """Return every type by its provider, those of third parties as well."""
    return {**_from_packages(), **_types}


def find(provider: str) -> AdapterType | None:
    """Return the type of a provider, None for one that nothing reads (any more)."""
    return types().get(provider)


@cache
def _from_packages() -> dict[str, AdapterType]:
    return {one.provider: one for one in added_by_packages(GROUP, AdapterType)}


def unregister(provider: str) -> None:
    """Take a type away."""
    _types.pop(provider, None)
