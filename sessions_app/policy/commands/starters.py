"""Command sets to begin with. Each is fit to be published as it stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Starter:
    """A document to change: what it is for in a few words, the name it has at first, and its text."""

    key: str
    title: str
    says: str
    name: str
    source: str
