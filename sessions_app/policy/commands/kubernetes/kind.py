"""Rights on a cluster, as lines of kubectl or rules of RBAC."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind
from sessions_app.policy.commands.kubernetes.covers import covers
from sessions_app.policy.commands.kubernetes.decide import compile_open, compile_set, decide, describe
from sessions_app.policy.commands.kubernetes.document import KubernetesCommandSet
from sessions_app.policy.commands.kubernetes.lint import lint
from sessions_app.policy.commands.kubernetes.starters import STARTERS

KIND = CommandKind(
    name="kubernetes", title="Kubernetes", document=KubernetesCommandSet, starters=STARTERS, hint="get pods -n web",
    with_values=compile_set, open=compile_open, decide=decide, covers=covers, describe=describe, lint=lint,
)  # fmt: skip
