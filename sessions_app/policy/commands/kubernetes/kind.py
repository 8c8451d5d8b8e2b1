"""The kubernetes kind, as `policy.commands.kinds` registers it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from sessions_app.policy.commands.answers import Allowed, CommandView, Refused
from sessions_app.policy.commands.findings import Finding
from sessions_app.policy.commands.kubernetes import decide as deciding
from sessions_app.policy.commands.kubernetes.covers import covers
from sessions_app.policy.commands.kubernetes.decide import CompiledSet
from sessions_app.policy.commands.kubernetes.document import KubernetesCommandSet
from sessions_app.policy.commands.kubernetes.lint import lint
from sessions_app.policy.commands.kubernetes.starters import STARTERS
from sessions_app.policy.commands.starters import Starter


class KubernetesKind:
    """Rights on a cluster, as lines of kubectl or rules of RBAC."""

    name = "kubernetes"
    title = "Kubernetes"
    document = KubernetesCommandSet
    starters: Sequence[Starter] = STARTERS
    hint = "get pods -n web"

    def compile(
        self, document: KubernetesCommandSet, bindings: Mapping[str, str] | None, keep: Collection[int] | None
    ) -> CompiledSet:
        """The rights with values in place."""
        if bindings is None:
            return deciding.compile_open(document)
        return deciding.compile_set(document, bindings, keep)

    def decide(self, compiled: CompiledSet, line: str) -> Allowed | Refused:
        """Whether this line may run."""
        return deciding.decide(compiled, line)

    def covers(self, parent: CompiledSet, child: CompiledSet) -> str | None:
        """Why one set is not within the other; None when it is."""
        return covers(parent, child)

    def describe(self, compiled: CompiledSet) -> list[CommandView]:
        """The commands as lines, and the rules that they come to."""
        return deciding.describe(compiled)

    def lint(self, document: KubernetesCommandSet) -> list[Finding]:
        """What the rights come to beyond what they seem to."""
        return lint(document)


KIND = KubernetesKind()
