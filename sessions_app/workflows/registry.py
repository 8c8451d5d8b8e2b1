"""The registry of adapters, by provider.

Third-party packages add an adapter with an entry point in the group ``stint.workflows`` that names an
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
    """Register a type for its provider, replacing an earlier type."""
    _types[adapter_type.provider] = adapter_type


def types() -> dict[str, AdapterType]:
    """Return every type by its provider, including those of third parties."""
    return {**_from_packages(), **_types}


def find(provider: str) -> AdapterType | None:
    """Return the type of a provider; None if no adapter is installed for it."""
    return types().get(provider)


@cache
def _from_packages() -> dict[str, AdapterType]:
    return {one.provider: one for one in added_by_packages(GROUP, AdapterType)}


def unregister(provider: str) -> None:
    """Remove the type of a provider."""
    _types.pop(provider, None)
