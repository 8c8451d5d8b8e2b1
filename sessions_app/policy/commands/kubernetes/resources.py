"""The resources of Kubernetes: their groups, their names in kubectl, and whether they are in a namespace.

Source: `kubectl api-resources` of Kubernetes 1.34, without what is gone from it. Others are written `plural.group`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.document import RuleRefused


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource. `namespaced` is None where only the cluster knows."""

    group: str
    plural: str
    namespaced: bool | None

    @property
    def text(self) -> str:
        """As kubectl takes it: `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural


_IN_NAMESPACES = {
    "": "pods:po:pod services:svc:service configmaps:cm:configmap secrets::secret events:ev:event "
        "endpoints:ep:endpoints serviceaccounts:sa:serviceaccount limitranges:limits:limitrange "
        "persistentvolumeclaims:pvc:persistentvolumeclaim podtemplates::podtemplate "
        "replicationcontrollers:rc:replicationcontroller resourcequotas:quota:resourcequota",
    "apps": "deployments:deploy:deployment statefulsets:sts:statefulset daemonsets:ds:daemonset "
            "replicasets:rs:replicaset controllerrevisions::controllerrevision",
    "batch": "jobs::job cronjobs:cj:cronjob",
    "autoscaling": "horizontalpodautoscalers:hpa:horizontalpodautoscaler",
    "networking.k8s.io": "ingresses:ing:ingress networkpolicies:netpol:networkpolicy",
    "policy": "poddisruptionbudgets:pdb:poddisruptionbudget",
    "coordination.k8s.io": "leases::lease",
    "discovery.k8s.io": "endpointslices::endpointslice",
    "rbac.authorization.k8s.io": "roles::role rolebindings::rolebinding",
}  # fmt: skip
_OF_THE_CLUSTER = {
    "": "nodes:no:node namespaces:ns:namespace persistentvolumes:pv:persistentvolume",
    "rbac.authorization.k8s.io": "clusterroles::clusterrole clusterrolebindings::clusterrolebinding",
    "storage.k8s.io": "storageclasses:sc:storageclass csidrivers::csidriver csinodes::csinode "
                      "volumeattachments::volumeattachment",
    "scheduling.k8s.io": "priorityclasses:pc:priorityclass",
    "networking.k8s.io": "ingressclasses::ingressclass",
    "apiextensions.k8s.io": "customresourcedefinitions:crd,crds:customresourcedefinition",
    "admissionregistration.k8s.io": "mutatingwebhookconfigurations::mutatingwebhookconfiguration "
        "validatingwebhookconfigurations::validatingwebhookconfiguration "
        "validatingadmissionpolicies::validatingadmissionpolicy",
    "certificates.k8s.io": "certificatesigningrequests:csr:certificatesigningrequest",
    "apiregistration.k8s.io": "apiservices::apiservice",
}  # fmt: skip
_GROUP = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_PLURAL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_VERSION = re.compile(r"v[1-9][0-9]*((alpha|beta)[1-9][0-9]*)?")


def _table() -> dict[str, Resource]:
    found: dict[str, Resource] = {}
    for names, namespaced in ((_IN_NAMESPACES, True), (_OF_THE_CLUSTER, False)):
        for group, entries in names.items():
            for entry in entries.split():
                plural, short, singular = entry.split(":")
                resource = Resource(group, plural, namespaced)
                for word in (plural, singular, *filter(None, short.split(","))):
                    found[word] = resource
    return found


_BY_WORD = _table()
_BY_PLACE = {(one.group, one.plural): one for one in _BY_WORD.values()}


def find_resource(word: str) -> Resource:
    """The resource that kubectl means by a word: `deploy`, `deployments.apps`. Raises RuleRefused."""
    plain, _, group = word.partition(".")
    if not group:
        if word not in _BY_WORD:
            raise RuleRefused(f"{clip(word)} is no resource known here: write its plural and group, like `certificates.cert-manager.io`")  # fmt: skip
        return _BY_WORD[word]
    version, _, rest = group.partition(".")
    if _VERSION.fullmatch(version):
        group = rest
    if not _PLURAL.fullmatch(plain) or not (_GROUP.fullmatch(group) or not group):
        raise RuleRefused(f"{clip(word)} is no resource: write its plural and group, like `deployments.apps`")
    known = _BY_WORD.get(plain)
    if known is not None and known.group == group:
        return known
    return known_resource(group, plain)


def known_resource(group: str, plural: str) -> Resource:
    """The resource of a group by its plural; one that nobody here knows may be in a namespace or not."""
    # What metrics-server serves has the names of the core's.
    if group == "metrics.k8s.io":
        return Resource(group, plural, plural != "nodes")
    return _BY_PLACE.get((group, plural)) or Resource(group, plural, None)
