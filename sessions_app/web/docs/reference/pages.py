"""The pages of the reference, each built once per process."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from sessions_app.web.docs.reference import (
    command_sets,
    commands,
    errors,
    events,
    findings,
    policies,
    settings,
)
from sessions_app.web.docs.reference.entries import Page


def _built() -> Iterator[Page]:
    yield settings.page()
    yield policies.page()
    yield command_sets.shared_page()
    yield from command_sets.pages()
    yield findings.page()
    yield errors.page()
    yield events.page()
    yield commands.stint_page()
    yield commands.manage_page()


@functools.cache
def pages() -> tuple[Page, ...]:
    """Return all pages, in the order of the index."""
    return tuple(_built())
