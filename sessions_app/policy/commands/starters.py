"""Starter command sets. Each can be published unchanged."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Starter:
    """A document to start from: its purpose, its initial name, and its text."""

    key: str
    title: str
    says: str
    name: str
    source: str
