"""The linter: what rights come to beyond what they seem to. Shown before a version is published."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.kubernetes.document import KubernetesCommandSet, KubernetesRule
from sessions_app.policy.commands.kubernetes.off_limits import off_limits
from sessions_app.policy.commands.kubernetes.resources import known_resource
from sessions_app.policy.commands.kubernetes.rights import ANY, DOORS, Right
from sessions_app.policy.commands.kubernetes.texts import match
from sessions_app.policy.commands.parameters import ParameterType

_RBAC = "rbac.authorization.k8s.io"
_READ = frozenset(("get", "list", "watch"))
_DESTROYS = frozenset(("delete", "deletecollection"))
_MAKES = frozenset(("create", "update", "patch"))
_WORKLOADS = frozenset(
    ("pods", "replicationcontrollers", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "podtemplates")
)  # fmt: skip
_INTO = {
    "pods/exec": "runs any program in a pod, as the account and with the secrets of that pod",
    "pods/attach": "takes over the terminal of what runs in a pod",
    "pods/portforward": "reaches any port of a pod, past every network policy",
    "pods/ephemeralcontainers": "adds a container of any image to a running pod",
    "pods/eviction": "deletes the pod that it names",
    "pods/proxy": "reaches any port of a pod through the API server",
    "services/proxy": "reaches any service through the API server",
    "nodes/proxy": "runs programs in every pod of a node, past admission and audit",
    "nodes/log": "reads the logs of a node, of whatever runs there",
}
# What changes more than itself: what it decides, by resource.
_DECIDES = {
    "serviceaccounts": "what is bound to an account, or trusts it, trusts whoever makes it, also after the grant",
    "persistentvolumes": "a volume of a node's own disk is any file of that node",
    "persistentvolumeclaims": "what a claim is filled from, and who else uses it, is not for RBAC to tell",
    "namespaces": "labels of a namespace decide what its pods may do and which network reaches them",
    "nodes": "labels and taints of a node decide which pods, and so which secrets, come to it",
    "services": "what is sent to a name goes to whatever its selector and its addresses say",
    "endpoints": "what is sent to a service goes to whatever address stands there",
    "endpointslices": "what is sent to a service goes to whatever address stands there",
    "ingresses": "what comes from outside goes wherever it says, and by some controllers' annotations runs there",
    "networkpolicies": "it decides who reaches the pods",
    "apiservices": "requests to a part of the API, and who sends them, go to a server of its choice",
    "customresourcedefinitions": "objects of its kind go through a webhook of its choice, and are gone with it",
    "validatingadmissionpolicies": "it decides what the API server lets in",
    "storageclasses": "it decides which program makes volumes, and with which secrets",
    "csidrivers": "it decides which tokens of pods are handed to a program on the node",
    "priorityclasses": "pods that have it put others off their nodes",
}
# Subresources whose change comes to what they say and no more.
_PLAIN_PARTS = frozenset(
    ("scale", "log", "eviction", "exec", "attach", "portforward", "proxy", "ephemeralcontainers")
)
_RUN_PODS = frozenset(
    ("argoproj.io", "tekton.dev", "triggers.tekton.dev", "batch.volcano.sh", "kubeflow.org", "sparkoperator.k8s.io",
     "ray.io", "serving.knative.dev", "sources.knative.dev", "flink.apache.org", "jobset.x-k8s.io",
     "leaderworkerset.x-k8s.io", "keda.sh", "actions.github.com", "actions.summerwind.dev", "helm.toolkit.fluxcd.io",
     "kustomize.toolkit.fluxcd.io", "helm.cattle.io", "camel.apache.org", "apps.kruise.io", "kubevirt.io",
     "cdi.kubevirt.io", "apps.openshift.io", "build.openshift.io", "monitoring.coreos.com", "postgresql.cnpg.io",
     "acid.zalan.do", "pkg.crossplane.io", "operators.coreos.com", "app.k8s.io")
)  # fmt: skip
_WEBHOOKS = frozenset(("mutatingwebhookconfigurations", "validatingwebhookconfigurations"))


@dataclass(frozen=True, slots=True)
class _Place:
    """One right of a command, and where the command stands."""

    document: KubernetesCommandSet
    where: str
    rule: KubernetesRule
    right: Right

    def found(self, severity: Severity, code: str, message: str, fix: str) -> Finding:
        return Finding(severity, code, self.where, message, fix)

    @property
    def types(self) -> Mapping[str, ParameterType]:
        """The types of the parameters that it uses."""
        return {name: self.document.type_of(self.rule, name) for name in self.right.slots}

    def may(self, verbs: frozenset[str]) -> bool:
        return bool(verbs & set(self.right.verbs)) or ANY in self.right.verbs

    @property
    def plain(self) -> set[str]:
        """The resources without their subresources."""
        return {resource for resource in self.right.resources if "/" not in resource}


def lint(document: KubernetesCommandSet) -> list[Finding]:
    """All findings, errors first."""
    found = list(document_findings(document))
    for index, rule in enumerate(document.commands):
        where = f"commands[{index}].{rule.WRITTEN}"
        for right in rule.rights():
            place = _Place(document, where, rule, right)
            found += [finding for look in _LOOKS for finding in look(place)]
        found += _effect(where.rpartition(".")[0], rule)
    unique = _once_a_place(found)
    return sorted(unique, key=lambda finding: finding.severity != "error")


def _once_a_place(found: Sequence[Finding]) -> list[Finding]:
    """A warning is accepted by its code and place, so there is one for each; an error goes first."""
    unique: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        unique.setdefault((finding.severity, finding.code, finding.where), finding)
    return list(unique.values())


def _wildcards(place: _Place) -> Iterator[Finding]:
    for what, words in (("verbs", place.right.verbs), ("groups", place.right.groups), ("resources", place.right.resources)):  # fmt: skip
        for word in words:
            if ANY in word:
                yield place.found(
                    "error",
                    "wildcard",
                    f"{clip(word)} under {what} is also everything that is added to the cluster later",
                    f"list the {what} that are meant",
                )


def _escalation(place: _Place) -> Iterator[Finding]:
    for verb in ("escalate", "bind", "impersonate"):
        if verb in place.right.verbs:
            yield place.found(
                "error", "escalation", f"`{verb}` gives its holder every right of others", f"leave {verb} out"
            )
    if _RBAC in place.right.groups and place.may(_MAKES | _DESTROYS):
        yield place.found(
            "error",
            "escalation",
            "whoever writes roles and bindings gives out rights that stay when the grant has ended",
            "let Stint make them: one command set for each thing to be done",
        )


def _off_limits(place: _Place) -> Iterator[Finding]:
    for namespace, rule in place.right.rules(place.types):
        if why := off_limits(namespace, rule, types=place.types):
            yield place.found(
                "error",
                "off_limits",
                f"it {why}",
                "name the namespaces that are meant, with choice or a pattern that begins with your own word"
                if "namespace" in why
                else "leave it out: Stint itself makes the tokens of a grant, and ends them",
            )
            return


def _secrets(place: _Place) -> Iterator[Finding]:
    if "" in place.right.groups and "secrets" in place.right.resources:
        yield place.found(
            "warning",
            "secrets",
            "what is read from secrets is known after the grant has ended, and lists show them whole",
            "leave them out, or name the one that is needed with `names` and get; accept it with a reason",
        )


def _doors(place: _Place) -> Iterator[Finding]:
    for resource in place.right.resources:
        if resource in _INTO:
            yield place.found(
                "warning",
                "into_pods" if resource.startswith("pods/") else "past_rbac",
                f"{resource} {_INTO[resource]}",
                "leave it out, or name one object with `names`; accept it with a reason",
            )
    if _WEBHOOKS & place.plain and place.may(_MAKES | _DESTROYS):
        yield place.found(
            "warning",
            "past_rbac",
            "whoever writes webhooks reads and changes every request to the API server",
            "leave it out; accept it with a reason",
        )


def _decides(place: _Place) -> Iterator[Finding]:
    if not place.may(_MAKES):
        return
    for resource in sorted(_DECIDES.keys() & place.plain):
        yield place.found(
            "warning", "decides_more", f"it changes {resource}: {_DECIDES[resource]}",
            "leave it out, or name one object with `names`; accept it with a reason",
        )  # fmt: skip
    for group in place.right.groups:
        unknown = [one for one in sorted(place.plain) if known_resource(group, one).namespaced is None]
        unknown += [one for one in place.right.resources if _part(one) not in _PLAIN_PARTS]
        if group in _RUN_PODS:
            yield place.found(
                "warning", "workload", f"{group} runs pods from what is written in {', '.join(sorted(place.plain))}, with any image and any account of the namespace",
                "leave it out; accept it with a reason",
            )  # fmt: skip
        elif unknown and group != ANY:
            yield place.found(
                "warning", "unknown_resource", f"what {', '.join(unknown)} of {group or 'the core'} does to the cluster is not known here: it may run pods or hand out rights",
                "look at what its controller does with it, and accept it with that as the reason",
            )  # fmt: skip


def _part(resource: str) -> str:
    """The subresource of a resource; the plainest where there is none."""
    return resource.partition("/")[2] or "scale"


def _workloads(place: _Place) -> Iterator[Finding]:
    made = sorted(_WORKLOADS & place.plain)
    if made and place.may(_MAKES):
        yield place.found(
            "warning",
            "workload",
            f"RBAC can't tell what is changed in {', '.join(made)}: its holder may run any image there, as any "
            "service account of the namespace and with any of its secrets",
            "use `scale`, which changes a number alone; accept it with a reason",
        )


def _reach(place: _Place) -> Iterator[Finding]:
    right = place.right
    if not right.namespaces and (right.names or place.may(frozenset(("none",)))):
        return
    if not right.namespaces and not {resource.partition("/")[0] for resource in right.resources} <= {
        "nodes",
        "namespaces",
        "persistentvolumes",
        "storageclasses",
    }:
        yield place.found(
            "warning",
            "whole_cluster",
            f"it is for the whole cluster: {', '.join(right.resources)} of every namespace, the system's too",
            "name the namespaces that are meant",
        )
    elif any(match(text, "kube-system", place.types, {}) is not None for text in right.namespaces):
        yield place.found(
            "warning",
            "whole_cluster",
            "what runs in kube-system can do anything to the cluster",
            "leave kube-system out; accept it with a reason",
        )


def _any_object(place: _Place) -> Iterator[Finding]:
    if not place.right.names and _destroys(place.right):
        yield place.found(
            "warning",
            "any_object",
            f"it deletes any of {', '.join(place.right.resources)}, for RBAC looks at no selector",
            "name the object that is meant, with a parameter if need be",
        )


def _streams(place: _Place) -> Iterator[Finding]:
    if "watch" in place.rule.text.replace(",", " ").split() or " -w" in f"{place.rule.text} ":
        yield place.found(
            "warning",
            "stream",
            "a watch that is open when the grant ends still shows changes until its connection closes",
            "leave the watch out: get and list are refused at once",
        )


_LOOKS: tuple[Callable[[_Place], Iterator[Finding]], ...] = (
    _off_limits, _wildcards, _escalation, _secrets, _doors, _decides, _workloads, _reach, _any_object,
    _streams,
)  # fmt: skip


def _destroys(right: Right) -> bool:
    evicts = "pods/eviction" in right.resources and "create" in right.verbs
    return evicts or bool(_DESTROYS & set(right.verbs))


def _effect(where: str, rule: KubernetesRule) -> Iterator[Finding]:
    """Approvers go by the effect, so it may not say less than the rights do."""
    more = sorted({word for right in rule.rights() for word in _more_than_read(right)})
    least = "destructive" if any(map(_destroys, rule.rights())) else "change" if more else "read"
    rank = ("read", "change", "destructive")
    if rank.index(rule.effect) < rank.index(least):
        yield Finding(
            "error",
            "effect",
            f"{where}.effect",
            f"it says {rule.effect}, but {', '.join(more)} is more than that",
            f"write {least}",
        )


def _more_than_read(right: Right) -> set[str]:
    """The verbs, and the doors that any verb opens, by which a right does more than look."""
    return {*set(right.verbs) - _READ - {ANY}, *DOORS.intersection(right.resources)}
