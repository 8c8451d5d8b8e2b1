"""Kubernetes resources: their groups, their names in kubectl, and whether they are namespaced.

Source: `kubectl api-resources` of Kubernetes 1.34, without removed resources. Others are written
`plural.group`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. `namespaced` is None if only the cluster knows."""

    group: str
    plural: str
    namespaced: bool | None
    singular: str = ""

    @property
    def one(self) -> str:
        """The singular word used in a line: `deployment`, `certificates.cert-manager.io`."""
        return self.singular or self.text

    @property
    def word(self) -> str:
        """The plural word used in a line: `deployments`, `certificates.cert-manager.io`."""
        return self.plural if self.singular else self.text

    @property
    def text(self) -> str:
        """The name in kubectl's form: `deployments.apps`."""
        return full_name(self.group, self.plural)


def full_name(group: str, resource: str) -> str:
    """Return a resource with its group in kubectl's form: `deployments.apps`. The core group is empty."""
    return f"{resource}.{group}" if group else resource


def group_name(group: str) -> str:
    """Return a group's name for use in a sentence: the core group's own name is empty."""
    return group or "the core"


def full_names(groups: Iterable[str], resources: Iterable[str]) -> tuple[str, ...]:
    """Return each resource in each group, because a rule with several groups and resources covers all
    pairs.
    """
    return tuple(full_name(group, resource) for resource, group in product(resources, groups))


_IN_NAMESPACES = {
    "": (
        "pods:po:pod services:svc:service configmaps:cm:configmap secrets::secret events:ev:event "
        "endpoints:ep:endpoints serviceaccounts:sa:serviceaccount limitranges:limits:limitrange "
        "persistentvolumeclaims:pvc:persistentvolumeclaim podtemplates::podtemplate "
        "replicationcontrollers:rc:replicationcontroller resourcequotas:quota:resourcequota"
    ),
    "apps": (
        "deployments:deploy:deployment statefulsets:sts:statefulset daemonsets:ds:daemonset "
        "replicasets:rs:replicaset controllerrevisions::controllerrevision"
    ),
    "batch": "jobs::job cronjobs:cj:cronjob",
    "autoscaling": "horizontalpodautoscalers:hpa:horizontalpodautoscaler",
    "networking.k8s.io": "ingresses:ing:ingress networkpolicies:netpol:networkpolicy",
    "policy": "poddisruptionbudgets:pdb:poddisruptionbudget",
    "coordination.k8s.io": "leases::lease",
    "discovery.k8s.io": "endpointslices::endpointslice",
    "rbac.authorization.k8s.io": "roles::role rolebindings::rolebinding",
}
_OF_THE_CLUSTER = {
    "": "nodes:no:node namespaces:ns:namespace persistentvolumes:pv:persistentvolume",
    "rbac.authorization.k8s.io": "clusterroles::clusterrole clusterrolebindings::clusterrolebinding",
    "storage.k8s.io": (
        "storageclasses:sc:storageclass csidrivers::csidriver csinodes::csinode "
        "volumeattachments::volumeattachment"
    ),
    "scheduling.k8s.io": "priorityclasses:pc:priorityclass",
    "networking.k8s.io": "ingressclasses::ingressclass",
    "apiextensions.k8s.io": "customresourcedefinitions:crd,crds:customresourcedefinition",
    "admissionregistration.k8s.io": (
        "mutatingwebhookconfigurations::mutatingwebhookconfiguration "
        "validatingwebhookconfigurations::validatingwebhookconfiguration "
        "validatingadmissionpolicies::validatingadmissionpolicy "
        "validatingadmissionpolicybindings::validatingadmissionpolicybinding "
        "mutatingadmissionpolicies::mutatingadmissionpolicy "
        "mutatingadmissionpolicybindings::mutatingadmissionpolicybinding"
    ),
    "certificates.k8s.io": "certificatesigningrequests:csr:certificatesigningrequest",
    "apiregistration.k8s.io": "apiservices::apiservice",
}
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PLURAL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")


def _table() -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for names, namespaced in ((_IN_NAMESPACES, True), (_OF_THE_CLUSTER, False)):
        for group, entries in names.items():
            for entry in entries.split():
                plural, short, singular = entry.split(":")
                resource = Resource(group, plural, namespaced, singular)
                for word in (plural, singular, *filter(None, short.split(","))):
                    found[word] = resource
    return found


_BY_WORD = _table()
_BY_PLACE = {(one.group, one.plural): one for one in _BY_WORD.values()}


def find_resource(word: str) -> Resource:
    """Return the resource to which kubectl resolves a word, such as `deploy` or `deployments.apps`. Raises
    RuleRefused.
    """
    plain, _, group = word.partition(".")
    if not group:
        if word not in _BY_WORD:
            raise RuleRefused(
                f"{clip(word)} is not a known resource: write its plural and group, like"
                " `certificates.cert-manager.io`"
            )
        return _BY_WORD[word]
    version, _, rest = group.partition(".")
    if _VERSION.fullmatch(version):
        group = rest
    if not _PLURAL.fullmatch(plain) or not (_GROUP.fullmatch(group) or not group):
        raise RuleRefused(
            f"{clip(word)} is not a resource: write its plural and group, like `deployments.apps`"
        )
    known = _BY_WORD.get(plain)
    if known is not None and known.group == group:
        return known
    return known_resource(group, plain)


def known_resource(group: str, plural: str) -> Resource:
    """Return a resource by its group and plural. An unknown resource may or may not be namespaced."""
    # metrics-server uses the resource names of the core group.
    if group == "metrics.k8s.io":
        return Resource(group, plural, plural != "nodes")
    return _BY_PLACE.get((group, plural)) or Resource(group, plural, None)


def plural_of(group: str, kind: str) -> str:
    """Return the plural of a built-in kind, such as `Deployment` of `apps`; empty if unknown."""
    return next(
        (one.plural for one in _BY_PLACE.values() if (one.group, one.singular) == (group, kind.lower())), ""
    )
