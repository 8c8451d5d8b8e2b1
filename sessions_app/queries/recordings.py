"""Where recordings are."""

from __future__ import annotations


def recording_path(grant_ref: str, run_id: int) -> str:
    """Return where the gateway writes the recording of a run, below the recordings' folder."""
    return f"{grant_ref}/{run_id}.cast"
