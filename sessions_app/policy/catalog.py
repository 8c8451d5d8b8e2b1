"""Catalog files: clusters, groups, policies, command sets, webhooks, workflow sources and trust policies.

One document per file. The folder determines its kind.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.http.document import HTTPRequest
from sessions_app.policy.commands.kinds import command_set_schema, parse_document
from sessions_app.policy.documents import DocumentError, Lines, Problem, load_yaml_with_lines, validate
from sessions_app.policy.policies import Person, PolicyDocument, Who
from sessions_app.policy.policy_part import Name
from sessions_app.policy.trust import TrustPolicyDocument
from sessions_app.policy.webhooks import WebhookDocument

FOLDERS = ("groups", "clusters", "command-sets", "webhooks", "workflow-sources", "policies", "trust-policies")
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
# A host key or CA key as in a known_hosts or .pub file, without the host.
HostKey = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/=]+( .*)?$",
    ),
]
# RFC 1123, 2.1: a name consists of labels with 1 to 63 letters, digits and hyphens. An IPv4 address matches
# as well.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def _address(text: str) -> str:
    try:
        if ":" in text or text.replace(".", "").isdigit():
            ip_address(text)
    except ValueError as error:
        raise ValueError(
            "is not a host name or an IP address: use a host name, 192.0.2.1 or 2001:db8::1"
        ) from error
    return text


Address = Annotated[
    str,
    Field(max_length=253, pattern=rf"^({_LABEL}(\.{_LABEL})*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$"),
    AfterValidator(_address),
]
Account = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


def fingerprint_of(key: str) -> str:
    """Return the `SHA256:…` fingerprint of a public key in OpenSSH's one-line form, as `ssh-keygen -l` prints
    it.

    Returns an empty string for anything else.
    """
    words = key.split()
    try:
        blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    except ValueError:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=") if blob else ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetDocument(_File):
    """One host: its address, the account to log in as, and how its identity is verified."""

    name: Name
    address: Address
    port: int | None = Field(
        default=None, ge=1, le=65535, description="Default: the usual port of the cluster's kind"
    )
    account: Account | None = Field(default=None, description="For SSH. Default: stint")
    host_key: HostKey | None = None


class ClusterDocument(_File):
    """A cluster and its targets."""

    name: Name
    kind: str = Field(min_length=1, max_length=32)
    summary: str = Field(default="", max_length=200)
    environment: Literal["production", "staging", "development"]
    risk: Literal["low", "medium", "high"]
    host_ca: HostKey | None = None
    connection: Mapping[str, Any] = Field(
        default={}, description="How Stint logs in. The keys depend on the cluster's kind"
    )
    targets: tuple[TargetDocument, ...] = Field(min_length=1, max_length=1000)
    requesters: Who | None = Field(
        default=None, description="Can request access under any policy that covers the cluster"
    )
    approvers: Who | None = Field(default=None, description="Can allow held commands on the cluster")
    viewers: Who | None = Field(default=None, description="Can see who has access to the cluster")
    administrators: Who | None = Field(
        default=None, description="Can change the cluster and end grants on it"
    )

    @model_validator(mode="after")
    def _known_hosts(self) -> ClusterDocument:
        names = [target.name for target in self.targets]
        if len(names) != len(set(names)):
            raise ValueError("two targets have the same name: give each its own name")
        unknown = [target.name for target in self.targets if self.kind == "ssh" and not target.host_key]
        if unknown and not self.host_ca:
            raise ValueError(
                f"{', '.join(unknown)}: add a host_key (`cat /etc/ssh/ssh_host_ed25519_key.pub` on the "
                "host), or a host_ca for the cluster; Stint never connects to a host that it can't verify"
            )
        return self


class GroupDocument(_File):
    """A group and all of its members."""

    name: Name
    members: tuple[Person, ...] = ()


class SourceDocument(_File):
    """An external workflow source: how Stint reads it, how its webhooks are verified, and which clusters it
    covers.
    """

    name: Name
    provider: str = Field(min_length=1, max_length=32, description="pagerduty, github, gitlab or standard")
    summary: str = Field(default="", max_length=200)
    parameters: Mapping[str, Any] = Field(
        default={}, description="How Stint reads the source. The keys depend on the provider"
    )
    webhook_secrets: tuple[str | Mapping[str, str], ...] | None = Field(
        default=None,
        max_length=5,
        description="Secrets with which the source's webhooks are signed; two during a rotation",
    )
    clusters: tuple[Name, ...] = Field(
        default=(), max_length=200, description="Clusters for every workflow of the source"
    )
    services: Mapping[str, tuple[Name, ...]] = Field(
        default={},
        description="Clusters for the workflows of each service, by the service's ID or name; instead of "
        "`clusters`",
    )
    people: Literal["email", "username"] = Field(
        default="email", description="How people named by the source are matched to identities"
    )
    trusted_openers: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(
        default=(),
        max_length=50,
        description=(
            "Systems such as monitoring, as the source names them. Workflows that they open count as "
            "opened by someone else, so list only systems that no requester can trigger"
        ),
    )

    @model_validator(mode="after")
    def _somewhere(self) -> SourceDocument:
        if self.name == "stint":
            raise ValueError("name: `stint` is reserved for Stint's own workflows; choose another")
        if not self.clusters and not self.services:
            raise ValueError("name the clusters of the source's workflows, under `clusters` or `services`")
        return self


@dataclass(frozen=True, slots=True)
class CommandSetFile:
    """A command set with the warnings that its author accepts: `code where` mapped to the reason."""

    document: CommandSetDocument
    accept: Mapping[str, str]
    source: str

    @property
    def name(self) -> str:
        """The name of the command set."""
        return self.document.name


@dataclass(frozen=True, slots=True)
class Catalog:
    """All documents of a folder, by name."""

    groups: Mapping[str, GroupDocument]
    clusters: Mapping[str, ClusterDocument]
    command_sets: Mapping[str, CommandSetFile]
    policies: Mapping[str, tuple[PolicyDocument, str]]
    webhooks: Mapping[str, WebhookDocument]
    sources: Mapping[str, SourceDocument]
    trust_policies: Mapping[str, tuple[TrustPolicyDocument, str]]


def _catalog(found: Mapping[str, dict[str, Any]]) -> Catalog:
    return Catalog(
        found["groups"],
        found["clusters"],
        found["command-sets"],
        found["policies"],
        found["webhooks"],
        found["workflow-sources"],
        found["trust-policies"],
    )


def read_catalog(files: Mapping[str, str]) -> Catalog:
    """Return the catalog from files, given by relative path (`clusters/web.yaml`).

    Raises DocumentError with the problems of all files. The path of each problem begins with the file's name.
    """
    found: dict[str, dict[str, Any]] = {folder: {} for folder in FOLDERS}
    problems: list[Problem] = []
    for path, text in sorted(files.items()):
        try:
            folder, item = _read(path, text)
            name = item[0].name if isinstance(item, tuple) else item.name
            if name in found[folder]:
                raise DocumentError([Problem("name", f"{name} is also in another file: define it once")])
            found[folder][name] = item
        except DocumentError as error:
            problems += [
                Problem(f"{path}: {problem.path}", problem.message, problem.line)
                for problem in error.problems
            ]
    if problems:
        raise DocumentError(problems)
    return _catalog(found)


def holds_for_nobody(catalog: Catalog) -> list[str]:
    """Return a sentence for each policy whose held commands no one could approve."""
    found = []
    for policy, _ in catalog.policies.values():
        clusters = [catalog.clusters.get(name) for name in policy.clusters]
        alone = [cluster.name for cluster in clusters if cluster and not cluster.approvers]
        sets = [catalog.command_sets.get(name) for name in policy.command_sets]
        held = [each.name for each in sets if each and each.document.may_hold]
        if alone and held and not policy.approver_groups:
            found.append(
                f"policies/{policy.name}: commands of {', '.join(held)} need a second person's approval, "
                f"but no one can approve them on {', '.join(alone)}: add approvers to the cluster, require "
                "approvals, or remove `hold`"
            )
    return found


def bodies_unseen(catalog: Catalog) -> list[str]:
    """Return a sentence for each policy with requests that a cluster's proxy refuses because the proxy does
    not send bodies.
    """
    found = []
    for policy, _ in catalog.policies.values():
        clusters = [catalog.clusters.get(name) for name in policy.clusters]
        blind = [
            each.name
            for each in clusters
            if each and each.kind == "http" and each.connection.get("proxy") != "stint"
        ]
        sets = [catalog.command_sets.get(name) for name in policy.command_sets]
        rules = [rule for each in sets if each for rule in each.document.commands]
        texts = [rule.text for rule in rules if isinstance(rule, HTTPRequest) and rule.content == "json"]
        if blind and texts:
            found.append(
                f"policies/{policy.name}: the proxy of {', '.join(blind)} does not send bodies, so it "
                f"refuses {', '.join(texts)}: set proxy: stint in its connection, or let the application "
                "itself query Stint with AuthZEN"
            )
    return found


_MODELS: Mapping[str, type[BaseModel]] = {
    "groups": GroupDocument,
    "clusters": ClusterDocument,
    "webhooks": WebhookDocument,
    "workflow-sources": SourceDocument,
}


def _read(path: str, text: str) -> tuple[str, Any]:
    folder = path.split("/", 1)[0]
    if folder not in FOLDERS or "/" not in path:
        raise DocumentError([Problem("", f"is not in a known folder; use one of: {', '.join(FOLDERS)}")])
    data, lines = load_yaml_with_lines(text)
    if folder == "command-sets":
        return folder, _command_set(data, lines, text)
    if folder == "policies":
        return folder, (validate(PolicyDocument, data, lines=lines), text)
    if folder == "trust-policies":
        return folder, (validate(TrustPolicyDocument, data, lines=lines), text)
    return folder, validate(_MODELS[folder], data, lines=lines)


def _command_set(data: dict[str, Any], lines: Lines, text: str) -> CommandSetFile:
    accept = data.pop("accept", {})
    if not isinstance(accept, dict) or not all(
        isinstance(reason, str) and reason for reason in accept.values()
    ):
        raise DocumentError([Problem("accept", "needs `code where: reason` for each accepted warning")])
    return CommandSetFile(parse_document(data, lines=lines), accept, text)


def read_one(folder: str, text: str) -> Catalog:
    """Return a catalog with the single document in ``text``. Raises DocumentError with lines."""
    _, item = _read(f"{folder}/", text)
    name = item[0].name if isinstance(item, tuple) else item.name
    found: dict[str, dict[str, Any]] = {one: {} for one in FOLDERS}
    found[folder][name] = item
    return _catalog(found)


def read_command_set(text: str) -> CommandSetFile:
    """Return one command set from its YAML. Raises DocumentError with lines."""
    data, lines = load_yaml_with_lines(text)
    return _command_set(data, lines, text)


def read_policy(text: str) -> PolicyDocument:
    """Return one policy from its YAML. Raises DocumentError with lines."""
    data, lines = load_yaml_with_lines(text)
    return validate(PolicyDocument, data, lines=lines)


def schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema (draft 2020-12) of each kind of file, by folder."""
    command_set = command_set_schema()
    for one in command_set.get("oneOf", [command_set]):
        one["properties"]["accept"] = {
            "type": "object",
            "additionalProperties": {"type": "string", "minLength": 1},
            "description": "Accepted linter warnings: `code where` mapped to the reason, which approvers see",
        }
    models: dict[str, type[BaseModel]] = {
        **_MODELS,
        "policies": PolicyDocument,
        "trust-policies": TrustPolicyDocument,
    }
    others = {
        folder: {"$schema": _SCHEMA, **model.model_json_schema(by_alias=True)}
        for folder, model in models.items()
    }
    return {"command-sets": command_set, **others}
