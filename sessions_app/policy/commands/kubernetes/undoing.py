"""The check for `rollout undo`: the template of one of the target's revisions, as kubectl restores it.

Source: kubectl 1.32, pkg/polymorphichelpers/rollback.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sessions_app.policy.commands.document import RuleRefused
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.bodies import JSON_PATCH, STRATEGIC
from sessions_app.policy.commands.kubernetes.checks import WRITE_QUERY, Check, Pairs, Taken, check_query, dry
from sessions_app.policy.commands.kubernetes.existing import HISTORY, target_of, version_of
from sessions_app.policy.commands.kubernetes.wants import Differs, Types, Values, same

PAST = {
    "deployments": "replicasets",
    "statefulsets": "controllerrevisions",
    "daemonsets": "controllerrevisions",
}
_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"
# Annotations that a rollback keeps on the deployment.
_KEPT = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        _REVISION,
        "deployment.kubernetes.io/revision-history",
        "deployment.kubernetes.io/desired-replicas",
        "deployment.kubernetes.io/max-replicas",
        "deprecated.daemonset.template.generation",
    )
)
_OWNER = {"metadata": {"uid": "x"}}
_TEMPLATE, _ANNOTATIONS = "/spec/template", "/metadata/annotations"


@dataclass(frozen=True, slots=True)
class Undoes(Check):
    """A patch that restores one of the target's own revisions. The revisions are in `sent.history`."""

    plural: str

    @property
    def limits(self) -> str:
        return "rollout undo"

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        check_query(request, WRITE_QUERY)
        if not self._may_put_back(sent):
            raise Differs("it restores a template that no revision of the target has")
        target = target_of(sent, HISTORY)
        for one in sent.history:
            if _is_owned(one, target) and self._puts_back(sent, target, one):
                number = _number(one)
                options = (*(("--to-revision", number) if number else ()), *dry(request))
                return Taken(known, options=options, version=version_of(target))
        raise Differs("it restores a template that no revision of the target has", near=1)

    def _may_put_back(self, sent: Sent) -> bool:
        """Whether a patch has the form in which kubectl restores a revision. A patch of individual fields
        never has this form.
        """
        if self.plural != "deployments":
            return sent.media_type == STRATEGIC and _replaces_template(sent.body)
        body = sent.body if sent.media_type == JSON_PATCH and isinstance(sent.body, list) else []
        paths = [one.get("path") if isinstance(one, Mapping) else None for one in body]
        return paths == [_TEMPLATE, _ANNOTATIONS]

    def _puts_back(self, sent: Sent, target: Mapping[str, Any], revision: Mapping[str, Any]) -> bool:
        if self.plural != "deployments":
            return sent.media_type == STRATEGIC and same(sent.body, revision.get("data"))
        wanted = _patch(target, revision)
        return sent.media_type == JSON_PATCH and same(_plain(sent.body), _plain(wanted))

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        revision = {
            "metadata": {"ownerReferences": [_OWNER["metadata"]]},
            "spec": {"template": {}},
            "data": {"spec": {"template": {"$patch": "replace"}}},
        }
        if self.plural != "deployments":
            return (), Sent(STRATEGIC, revision["data"], _OWNER, (revision,))
        return (), Sent(JSON_PATCH, _patch(_OWNER, revision), _OWNER, (revision,))


def put_back(plural: str, target: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> Sent:
    """Return the request that restores a target's previous revision.

    Raises RuleRefused if there is none, and for a deployment that is paused, as kubectl does.
    """
    if (target.get("spec") or {}).get("paused"):
        raise RuleRefused("a paused deployment can't be rolled back: resume it first")
    own = sorted((one for one in history if _is_owned(one, target)), key=lambda one: int(_number(one) or 0))
    if len(own) < 2:
        raise RuleRefused("there is no previous revision")
    if plural != "deployments":
        return Sent(STRATEGIC, own[-2].get("data"), target, tuple(history))
    return Sent(JSON_PATCH, _patch(target, own[-2]), target, tuple(history))


def revisions_url(request: KubeRequest, target: Mapping[str, Any], most: int) -> str:
    """Return the URL that lists at most `most` revisions on an API server. The list can contain revisions of
    other objects; `decide_request` ignores them.
    """
    labels = ((target.get("spec") or {}).get("selector") or {}).get("matchLabels") or {}
    selector = quote(",".join(f"{key}={value}" for key, value in labels.items()), safe="")
    path = f"/apis/apps/v1/namespaces/{request.namespace}/{PAST[request.resource]}"
    return f"{path}?labelSelector={selector}&limit={most}"


def _replaces_template(body: Any) -> bool:
    spec = body.get("spec") if isinstance(body, Mapping) else None
    template = spec.get("template") if isinstance(spec, Mapping) else None
    return isinstance(template, Mapping) and template.get("$patch") == "replace"


def _patch(target: Mapping[str, Any], revision: Mapping[str, Any]) -> list[dict[str, Any]]:
    template = dict((revision.get("spec") or {}).get("template") or {})
    metadata = dict(template.get("metadata") or {})
    metadata["labels"] = {key: value for key, value in (metadata.get("labels") or {}).items() if key != _HASH}
    template["metadata"] = metadata
    own, past = _annotations(target), _annotations(revision)
    annotations = {key: value for key, value in own.items() if key in _KEPT}
    annotations |= {key: value for key, value in past.items() if key not in _KEPT}
    return [
        {"op": "replace", "path": _TEMPLATE, "value": template},
        {"op": "replace", "path": _ANNOTATIONS, "value": annotations},
    ]


def _annotations(one: Mapping[str, Any]) -> Mapping[str, Any]:
    return (one.get("metadata") or {}).get("annotations") or {}


def _is_owned(one: Mapping[str, Any], target: Mapping[str, Any]) -> bool:
    uid = (target.get("metadata") or {}).get("uid")
    owners = (one.get("metadata") or {}).get("ownerReferences") or ()
    return bool(uid) and any(owner.get("uid") == uid for owner in owners)


def _number(revision: Mapping[str, Any]) -> str:
    number = str(revision.get("revision") or _annotations(revision).get(_REVISION) or "")
    return number if number.isdigit() else ""


def _plain(value: Any) -> Any:
    """Return a value without the defaults that Go adds, which are metadata without a time, and empty
    resources.

    Other nulls remain: in a map of strings, such as labels, Go reads null as an empty string.
    """
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if not isinstance(value, Mapping):
        return value
    found = {key: _plain(_undated(one) if key == "metadata" else one) for key, one in value.items()}
    return {
        key: one for key, one in found.items() if one != {} or key not in ("resources", "labels", "metadata")
    }


def _undated(metadata: Any) -> Any:
    if not isinstance(metadata, Mapping) or metadata.get("creationTimestamp", "") is not None:
        return metadata
    return {key: value for key, value in metadata.items() if key != "creationTimestamp"}
