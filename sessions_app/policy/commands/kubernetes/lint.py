"""The linter for Kubernetes. It finds non-obvious effects of rights.

Its findings are shown before publishing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.findings import Finding, Severity, document_findings
from sessions_app.policy.commands.kubernetes.checks import ANYTHING
from sessions_app.policy.commands.kubernetes.document import KubernetesCommandSet, KubernetesRule
from sessions_app.policy.commands.kubernetes.entering import Enters
from sessions_app.policy.commands.kubernetes.lint_lines import line_findings
from sessions_app.policy.commands.kubernetes.off_limits import VIEWS, off_limits
from sessions_app.policy.commands.kubernetes.resources import group_name, known_resource
from sessions_app.policy.commands.kubernetes.rights import ANY, CONNECTS, Right
from sessions_app.policy.commands.kubernetes.steps import Step
from sessions_app.policy.commands.kubernetes.texts import all_values, match
from sessions_app.policy.commands.parameters import ParameterType

_READ = frozenset(("get", "list", "watch"))
_DESTROYS = frozenset(("delete", "deletecollection"))
_MAKES = frozenset(("create", "update", "patch"))
_WORKLOADS = frozenset(
    (
        "pods",
        "replicationcontrollers",
        "deployments",
        "statefulsets",
        "daemonsets",
        "replicasets",
        "jobs",
        "cronjobs",
        "podtemplates",
    )
)
_INTO = {
    "pods/attach": "takes over the terminal of the program that runs in a pod",
    "pods/portforward": (
        "reaches these ports of a pod, and bypasses network policies and any check of the client's identity"
    ),
    "pods/ephemeralcontainers": "adds a container with any image to a running pod",
    "pods/eviction": "deletes the pod that it names",
    "pods/proxy": "reaches any port of a pod through the API server",
    "services/proxy": "reaches any service through the API server",
    "nodes/proxy": "runs programs in every pod of a node, and bypasses admission and audit",
    "nodes/log": "reads the logs of a node and of everything that runs there",
}
# The effects of changing resources that other objects depend on.
_DECIDES = {
    "serviceaccounts": "whoever creates a service account inherits its bindings, even after the grant ends",
    "persistentvolumes": "a volume on a node's own disk can expose any file of that node",
    "persistentvolumeclaims": "RBAC can't limit the data source of a volume claim, or who else uses the "
    "claim",
    "namespaces": "the labels of a namespace decide what the pods in it may do, and which networks can "
    "reach them",
    "nodes": "the labels and taints of a node decide which pods, and so which secrets, are placed on it",
    "services": "a service's selector and addresses decide where its traffic goes",
    "endpoints": "the listed addresses decide where a service's traffic goes",
    "endpointslices": "the listed addresses decide where a service's traffic goes",
    "ingresses": (
        "an ingress decides where external traffic goes, and with some controllers its annotations run code"
    ),
    "networkpolicies": "a network policy decides who can reach the pods",
    "customresourcedefinitions": (
        "a resource definition chooses the webhook that converts its objects, and its objects are "
        "deleted with it"
    ),
    "storageclasses": "a storage class decides which program creates volumes, and with which secrets",
    "csidrivers": "a CSI driver decides which pod tokens a program on the node receives",
    "priorityclasses": "pods of a higher priority class evict other pods from their nodes",
}
# The effect of deleting objects of these groups.
_REMOVED = {
    "admissionregistration.k8s.io": "the API server then admits, unchanged, everything that the deleted "
    "object refused or changed",
    "apiregistration.k8s.io": "a part of the API then stops responding, also to Stint",
    "apiextensions.k8s.io": "every object of the defined kind is deleted with it, in every namespace",
}
# Subresources that affect nothing else.
_PLAIN_PARTS = frozenset(
    ("scale", "log", "eviction", "exec", "attach", "portforward", "proxy", "ephemeralcontainers")
)
_RUN_PODS = frozenset(
    (
        "argoproj.io",
        "tekton.dev",
        "triggers.tekton.dev",
        "batch.volcano.sh",
        "kubeflow.org",
        "sparkoperator.k8s.io",
        "ray.io",
        "serving.knative.dev",
        "sources.knative.dev",
        "flink.apache.org",
        "jobset.x-k8s.io",
        "leaderworkerset.x-k8s.io",
        "keda.sh",
        "actions.github.com",
        "actions.summerwind.dev",
        "helm.toolkit.fluxcd.io",
        "kustomize.toolkit.fluxcd.io",
        "helm.cattle.io",
        "camel.apache.org",
        "apps.kruise.io",
        "kubevirt.io",
        "cdi.kubevirt.io",
        "apps.openshift.io",
        "build.openshift.io",
        "monitoring.coreos.com",
        "postgresql.cnpg.io",
        "acid.zalan.do",
        "pkg.crossplane.io",
        "operators.coreos.com",
        "app.k8s.io",
    )
)
# Resources that show credentials to readers: Kubernetes, OpenShift and Rancher.
_CREDENTIALS = frozenset(
    (
        "secrets",
        "imagestreams/secrets.image.openshift.io",
        "oauthaccesstokens.oauth.openshift.io",
        "oauthauthorizetokens.oauth.openshift.io",
        "oauthclients.oauth.openshift.io",
        "tokens.management.cattle.io",
    )
)
_ANY_NAMES = ("a", "coredns-1", "web-0", "x1")


@dataclass(frozen=True, slots=True)
class _Place:
    """One request of a command, and the path of the command."""

    document: KubernetesCommandSet
    where: str
    rule: KubernetesRule
    step: Step

    @property
    def right(self) -> Right:
        """The right that the request needs."""
        return self.step.right

    def found(self, severity: Severity, code: str, message: str, fix: str) -> Finding:
        return Finding(severity, code, self.where, message, fix)

    @property
    def types(self) -> Mapping[str, ParameterType]:
        """The types of the parameters in the request."""
        return {name: self.document.type_of(self.rule, name) for name in self.right.slots}

    def may(self, verbs: frozenset[str]) -> bool:
        return bool(verbs & set(self.right.verbs)) or ANY in self.right.verbs

    @property
    def plain(self) -> set[str]:
        """The resources, without subresources."""
        return {resource for resource in self.right.resources if "/" not in resource}


def lint(document: KubernetesCommandSet) -> list[Finding]:
    """Return all findings, errors first."""
    found = list(document_findings(document))
    for index, rule in enumerate(document.commands):
        where = f"commands[{index}].{rule.WRITTEN}"
        for step in rule.steps():
            place = _Place(document, where, rule, step)
            found += [finding for look in _LOOKS for finding in look(place)]
        found += line_findings(document, index, rule)
        found += _effect(where.rpartition(".")[0], rule)
    unique = _once_a_place(found)
    return sorted(unique, key=lambda finding: finding.severity != "error")


def _once_a_place(found: Sequence[Finding]) -> list[Finding]:
    """Keep one finding for each severity, code and path, because warnings are accepted by code and path."""
    unique: dict[tuple[str, str, str], Finding] = {}
    for finding in found:
        unique.setdefault((finding.severity, finding.code, finding.where), finding)
    return list(unique.values())


def _wildcards(place: _Place) -> Iterator[Finding]:
    for what, words in (
        ("verbs", place.right.verbs),
        ("groups", place.right.groups),
        ("resources", place.right.resources),
    ):
        for word in words:
            if ANY in word:
                yield place.found(
                    "error",
                    "wildcard",
                    f"{clip(word)} under {what} also covers everything that is added to the cluster later",
                    f"list the intended {what}",
                )


def _off_limits(place: _Place) -> Iterator[Finding]:
    for namespace, rule in place.right.rules(place.types):
        if why := off_limits(namespace, rule, types=place.types):
            yield place.found(
                "error",
                "off_limits",
                f"it {why}",
                (
                    "list the intended namespaces with choice, or use a pattern that begins with fixed text"
                    if "namespace" in why
                    else "remove it: Stint never grants this"
                ),
            )
            return


def _secrets(place: _Place) -> Iterator[Finding]:
    found = next((one for one in place.right.things if one in _CREDENTIALS), None)
    if found:
        yield place.found(
            "warning",
            "secrets",
            f"the holder still knows the content of {found} after the grant ends, and lists show it in full",
            "remove them, or use `names` to allow only get on the one that is needed, and accept "
            "the finding with a reason",
        )


def _past_rbac(place: _Place) -> Iterator[Finding]:
    for resource in place.right.resources:
        if resource in _INTO:
            yield place.found(
                "warning",
                "into_pods" if resource.startswith("pods/") else "past_rbac",
                f"{resource} {_INTO[resource]}",
                "remove it, or name one object with `names` and accept the finding with a reason",
            )


def _decides(place: _Place) -> Iterator[Finding]:
    if place.may(_MAKES):
        for resource in sorted(_DECIDES.keys() & place.plain):
            yield place.found(
                "warning",
                "decides_more",
                f"it changes {resource}: {_DECIDES[resource]}",
                "remove it, or name one object with `names` and accept the finding with a reason",
            )
    for group in place.right.groups:
        if place.may(_DESTROYS) and (why := _REMOVED.get(group)):
            yield place.found(
                "warning",
                "decides_more",
                f"it deletes {', '.join(place.right.things)}: {why}",
                "remove it, or name one object with `names` and accept the finding with a reason",
            )
        yield from _unknown(place, group)


def _unknown(place: _Place, group: str) -> Iterator[Finding]:
    """Yield findings about resources whose effect only the cluster's administrator knows."""
    makes = not (_READ | _DESTROYS).issuperset(place.right.verbs)
    if makes and group in _RUN_PODS:
        yield place.found(
            "warning",
            "workload",
            f"{group} runs the pods that {', '.join(sorted(place.plain))} define, with any image and any"
            " service account of the namespace",
            "remove it, or accept the finding with a reason",
        )
        return
    unknown = [one for one in place.right.resources if _is_unknown(group, one, makes=makes)]
    if unknown and group != ANY:
        yield place.found(
            "warning",
            "unknown_resource",
            f"{', '.join(unknown)} of {group_name(group)} is not a known resource: it may run pods or "
            "grant rights",
            "check what its controller does, and state that in the reason when you accept the finding",
        )


def _is_unknown(group: str, resource: str, *, makes: bool) -> bool:
    """Whether the effect of a right on a resource is unknown.

    Viewing objects is harmless for any resource.
    """
    plural, _, part = resource.partition("/")
    known = known_resource(group, plural).namespaced is not None
    if makes:
        return part not in _PLAIN_PARTS if part else not known
    return not known and part not in VIEWS


def _workloads(place: _Place) -> Iterator[Finding]:
    made = sorted(_WORKLOADS & place.plain)
    if made and place.may(_MAKES) and place.step.check is ANYTHING:
        yield place.found(
            "warning",
            "workload",
            f"a rule can't limit which fields change in {', '.join(made)}: the holder can run any image "
            "there, as any service account of the namespace and with any of its secrets",
            "use `scale`, `set image` or `apply` with the fields that may be set, or accept the finding "
            "with a reason",
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
            f"it covers the whole cluster: {', '.join(right.things)} in every namespace, including system "
            "namespaces",
            "name the intended namespaces",
        )
    elif any(match(text, "kube-system", place.types, {}) is not None for text in right.namespaces):
        yield place.found(
            "warning",
            "whole_cluster",
            "a program that runs in kube-system can do anything to the cluster",
            "remove kube-system, or accept the finding with a reason",
        )


def _any_object(place: _Place) -> Iterator[Finding]:
    if _is_any(place) and _destroys(place.right):
        yield place.found(
            "warning",
            "any_object",
            f"it can delete any object of {', '.join(place.right.things)}, because label "
            "selectors don't limit deletes",
            "name the intended object, with a parameter or a pattern that begins with its name",
        )


_LOOKS: tuple[Callable[[_Place], Iterator[Finding]], ...] = (
    _off_limits,
    _wildcards,
    _secrets,
    _past_rbac,
    _decides,
    _workloads,
    _reach,
    _any_object,
)


def _is_any(place: _Place) -> bool:
    """Whether the names match objects of any owner."""
    for text in place.right.names:
        slot = text[0]
        if isinstance(slot, str) or len(text) > 1 or slot.name not in place.rule.where:
            continue
        type_ = place.types[slot.name]
        if all_values(type_) is None and all(match(text, name, place.types, {}) for name in _ANY_NAMES):
            return True
    return not place.right.names


def _destroys(right: Right) -> bool:
    evicts = "pods/eviction" in right.resources and "create" in right.verbs
    return evicts or bool(_DESTROYS & set(right.verbs))


def _effect(where: str, rule: KubernetesRule) -> Iterator[Finding]:
    """Check that the declared effect, on which approvers rely, does not understate the rights."""
    more = sorted({word for step in rule.steps() for word in _more_than_read(step)})
    least = "destructive" if any(map(_destroys, rule.rights())) else "change" if more else "read"
    rank = ("read", "change", "destructive")
    if rank.index(rule.effect) < rank.index(least):
        yield Finding(
            "error",
            "effect",
            f"{where}.effect",
            f"the effect is {rule.effect}, but {', '.join(more)} can do more",
            f"set effect: {least}",
        )


def _more_than_read(step: Step) -> set[str]:
    """Return the verbs that do more than read, and the subresources that grant more than their verb.

    The effect of `exec` depends on its program.
    """
    if isinstance(step.check, Enters) and step.check.words:
        return set()
    return {*set(step.right.verbs) - _READ - {ANY}, *CONNECTS.intersection(step.right.resources)}
