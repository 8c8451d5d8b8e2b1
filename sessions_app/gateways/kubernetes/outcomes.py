"""The reasons in the record for how requests ended."""

from __future__ import annotations

import structlog

from sessions_app.gateways.core.outcomes import GIVEN_UP, Report
from sessions_app.gateways.core.recording import Recorder, Recording
from sessions_app.gateways.kubernetes.forwarding import Forwarding
from sessions_app.gateways.kubernetes.streams import Streams

log = structlog.get_logger(__name__)

UNSAID = "the API server did not report how the command ended"


def unrecorded(error: OSError) -> str:
    """Return the reason for cutting a command whose output can't be recorded."""
    return f"the output can't be recorded: {error.strerror}"


def why_broken(carrier: object, error: OSError) -> str:
    """Return why a connection ended, or that the output can't be recorded."""
    unwritten = carrier.record_error if isinstance(carrier, Streams) else None
    if unwritten is not None:
        return unrecorded(unwritten)
    return f"the connection was lost ({type(error).__name__})"


def report_of(carrier: object) -> Report:
    """Return the outcome of a request that Stint did not cut."""
    if isinstance(carrier, Forwarding) and carrier.status >= 400:
        return Report("done", f"the API server returned {carrier.status}")
    if not isinstance(carrier, Streams):
        return Report("done")
    if carrier.given_up:
        return Report("cut", GIVEN_UP)
    if carrier.exit_status is None:
        return Report("cut", carrier.fault or UNSAID)
    return Report("done", exit_status=carrier.exit_status)


def closed(recorder: Recorder | None, run_id: int) -> Recording:
    """Close a recording, if there is one."""
    if recorder is not None:
        try:
            return recorder.close()
        except OSError as error:
            log.warning("recording.not_closed", run=run_id, error=str(error))
    return Recording("", "", 0, 0)
