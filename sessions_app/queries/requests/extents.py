"""The extent of a request, as requested and as reduced by its approvers so far."""

from __future__ import annotations

from sessions_app.models import AccessRequest, Approval, Verdict
from sessions_app.policy.digests import digest_of
from sessions_app.policy.durations import say_duration
from sessions_app.policy.scope import Extent
from sessions_app.queries.catalog import command_sets as commands


def extent_of(request: AccessRequest) -> Extent:
    """Return the whole extent of a request."""
    compiled = commands.asked(request)
    return Extent(
        request.duration,
        frozenset(command.index for command in compiled.commands),
        frozenset(request.targets),
    )


def left_of(request: AccessRequest) -> Extent:
    """Return a request's extent as reduced by all approvers so far.

    Approvals that would leave an empty extent are not accepted. Uses prefetched approvals.
    """
    whole = extent_of(request)
    return whole.meet(whole.narrowed(approval.narrowing) for approval in _counted(request))


def left_duration(request: AccessRequest) -> int:
    """Return a request's duration in seconds, as reduced by all approvers so far, without reading its
    commands.
    """
    left = [approval.narrowing.get("duration") or request.duration for approval in _counted(request)]
    return min(left, default=request.duration)


def left_digest(request: AccessRequest) -> str:
    """Return the digest of a request's extent as reduced by all approvers so far."""
    left = left_of(request)
    return digest_of([left.duration, sorted(left.commands), sorted(left.targets)])


def say_reduction(request: AccessRequest, left: Extent) -> str:
    """Return a sentence about how approvers reduced a request; empty if they did not."""
    whole = extent_of(request)
    parts = [
        (
            f"{say_duration(left.duration)} instead of {say_duration(whole.duration)}"
            if left.duration != whole.duration
            else ""
        ),
        *(
            f"{len(kept)} of {len(asked)} {name}" if kept != asked else ""
            for name, kept, asked in (
                ("commands", left.commands, whole.commands),
                ("targets", left.targets, whole.targets),
            )
        ),
    ]
    said = ", ".join(filter(None, parts))
    return f"Less than you requested: {said}." if said else ""


def _counted(request: AccessRequest) -> list[Approval]:
    return [
        approval
        for approval in request.approvals.all()
        if approval.voided_at is None
        and approval.verdict == Verdict.APPROVE
        and approval.digest == request.digest
    ]
