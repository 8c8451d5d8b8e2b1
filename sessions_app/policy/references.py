"""The references that people see, as patterns that match the whole of one."""

from __future__ import annotations

GRANT = "GR-[0-9A-Z]{4,13}"
REQUEST = "REQ-[0-9]{1,9}"
