"""Patterns of the references that people see. Each matches a whole reference."""

from __future__ import annotations

GRANT = "GR-[0-9A-Z]{4,13}"
REQUEST = "REQ-[0-9]{1,9}"
