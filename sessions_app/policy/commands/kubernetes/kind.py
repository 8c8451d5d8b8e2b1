"""Rights on a cluster, as kubectl lines or RBAC rules."""

from __future__ import annotations

from sessions_app.policy.commands.kind import CommandKind, Forms
from sessions_app.policy.commands.kubernetes.compiling import compile_open, compile_set
from sessions_app.policy.commands.kubernetes.covers import covers
from sessions_app.policy.commands.kubernetes.decide import decide, describe
from sessions_app.policy.commands.kubernetes.document import KubernetesCommandSet
from sessions_app.policy.commands.kubernetes.filling import fillable, line_of, lines_for
from sessions_app.policy.commands.kubernetes.lint import lint
from sessions_app.policy.commands.kubernetes.starters import STARTERS

KIND = CommandKind(
    name="kubernetes",
    title="Kubernetes",
    document=KubernetesCommandSet,
    starters=STARTERS,
    hint="get pods -n web",
    with_values=compile_set,
    open=compile_open,
    decide=decide,
    covers=covers,
    describe=describe,
    lint=lint,
    forms=Forms(fillable=fillable, lines_for=lines_for, line_of=line_of),
)
