"""Which running commands can be watched live."""

from __future__ import annotations

from sessions_app.connectors.registry import find
from sessions_app.models import CommandRun, RunState

# What prints into a terminal on Kubernetes. Other requests are answered with objects, which are not recorded.
_STREAMED = (["exec"], ["attach"])


def watchable(run: CommandRun) -> bool:
    """Whether a command is running, and a gateway records what it prints. Its cluster must have
    been loaded.
    """
    kind = find(run.grant.cluster.kind)
    recorded = (kind is not None and kind.runs) or run.argv[:1] in _STREAMED or hasattr(run, "order")
    return run.state == RunState.RUNNING and recorded
