"""Catalogue files: clusters, groups, policies and command sets, one document a file, found by its folder."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sessions_app.policy.commands.document import CommandSetDocument
from sessions_app.policy.commands.kinds import command_set_schema, parse_document
from sessions_app.policy.documents import DocumentError, Lines, Problem, load_yaml_with_lines, validate
from sessions_app.policy.policies import Name, Person, PolicyDocument, Who
from sessions_app.policy.trust import TrustPolicyDocument
from sessions_app.policy.webhooks import WebhookDocument

FOLDERS = ("groups", "clusters", "command-sets", "webhooks", "workflow-sources", "policies", "trust-policies")
_SCHEMA = "https://json-schema.org/draft/2020-12/schema"
# A host key or CA line as it stands in known_hosts or in a .pub file, without the host.
HostKey = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True,
        pattern=r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|ssh-rsa) [A-Za-z0-9+/=]+( .*)?$",
    ),
]
# RFC 1123, 2.1: a name of labels with 1 to 63 letters, digits and hyphens; an IPv4 address looks like one.
_LABEL = "[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"


def _address(text: str) -> str:
    try:
        if ":" in text or text.replace(".", "").isdigit():
            ip_address(text)
    except ValueError as error:
        raise ValueError(
            "is no name and no IP address: write a host name, 192.0.2.1 or 2001:db8::1"
        ) from error
    return text


Address = Annotated[
    str,
    Field(max_length=253, pattern=rf"^({_LABEL}(\.{_LABEL})*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*)$"),
    AfterValidator(_address),
]
Account = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


def fingerprint_of(key: str) -> str:
    """Return `SHA256:…` of a public key in OpenSSH's one-line form, as `ssh-keygen -l` says it; empty for anything else."""
    words = key.split()
    try:
        blob = base64.b64decode(words[1], validate=True) if len(words) > 1 else b""
    except ValueError:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=") if blob else ""


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TargetDocument(_File):
    """One host: where to connect, as whom, and how it is known."""

    name: Name
    address: Address
    port: int | None = Field(
        default=None, ge=1, le=65535, description="The usual port of the kind if not given"
    )
    account: Account | None = Field(default=None, description="For SSH: stint if not given")
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
        default={}, description="How Stint logs in; what stands here depends on the kind"
    )
    targets: tuple[TargetDocument, ...] = Field(min_length=1, max_length=1000)
    requesters: Who | None = Field(
        default=None, description="May ask under every policy that covers the cluster"
    )
    approvers: Who | None = Field(default=None, description="May allow held commands on the cluster")
    viewers: Who | None = Field(default=None, description="May see who has access there")
    administrators: Who | None = Field(
        default=None, description="May change the cluster and end grants on it"
    )

    @model_validator(mode="after")
    def _known_hosts(self) -> ClusterDocument:
        names = [target.name for target in self.targets]
        if len(names) != len(set(names)):
            raise ValueError("two targets have the same name; name each once")
        unknown = [target.name for target in self.targets if self.kind == "ssh" and not target.host_key]
        if unknown and not self.host_ca:
            raise ValueError(
                f"{', '.join(unknown)}: give a host_key (the output of `ssh-keyscan`), or a host_ca for the cluster; "
                "a host that can't be recognised is never connected to"
            )
        return self


class GroupDocument(_File):
    """A group and all of its members."""

    name: Name
    members: tuple[Person, ...] = ()


class SourceDocument(_File):
    """A system outside that keeps work: how it is asked, how its webhooks are known, and on which clusters its work is."""

    name: Name
    provider: str = Field(min_length=1, max_length=32, description="pagerduty, github, gitlab or standard")
    summary: str = Field(default="", max_length=200)
    parameters: Mapping[str, Any] = Field(
        default={}, description="How it is asked; what stands here depends on the provider"
    )
    webhook_secrets: tuple[str | Mapping[str, str], ...] | None = Field(
        default=None,
        max_length=5,
        description="What its webhooks are signed with; two while one takes over from another",
    )
    clusters: tuple[Name, ...] = Field(default=(), max_length=200, description="On which all of its work is")
    services: Mapping[str, tuple[Name, ...]] = Field(
        default={},
        description="On which the work of one service is, by its id or name; in place of `clusters`",
    )
    people: Literal["email", "username"] = Field(
        default="email", description="How its assignees and those on call are known here"
    )

    @model_validator(mode="after")
    def _somewhere(self) -> SourceDocument:
        if self.name == "stint":
            raise ValueError("name: `stint` is what Stint's own work is kept by; choose another")
        if not self.clusters and not self.services:
            raise ValueError("name the clusters that its work is on, under `clusters` or `services`")
        return self


@dataclass(frozen=True, slots=True)
class CommandSetFile:
    """A command set with the warnings that its author accepts, by `code where`, each with a reason."""

    document: CommandSetDocument
    accept: Mapping[str, str]
    source: str

    @property
    def name(self) -> str:
        """The command set's name."""
        return self.document.name


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All documents of a folder, by name."""

    groups: Mapping[str, GroupDocument]
    clusters: Mapping[str, ClusterDocument]
    command_sets: Mapping[str, CommandSetFile]
    policies: Mapping[str, tuple[PolicyDocument, str]]
    webhooks: Mapping[str, WebhookDocument]
    sources: Mapping[str, SourceDocument]
    trust_policies: Mapping[str, tuple[TrustPolicyDocument, str]]


def _catalogue(found: Mapping[str, dict[str, Any]]) -> Catalogue:
    return Catalogue(
        found["groups"],
        found["clusters"],
        found["command-sets"],
        found["policies"],
        found["webhooks"],
        found["workflow-sources"],
        found["trust-policies"],
    )


def read_catalogue(files: Mapping[str, str]) -> Catalogue:
    """Return the catalogue in files by relative path (`clusters/web.yaml`).

    Raises DocumentError with every problem of every file; the path of a problem begins with the file's name.
    """
    found: dict[str, dict[str, Any]] = {folder: {} for folder in FOLDERS}
    problems: list[Problem] = []
    for path, text in sorted(files.items()):
        try:
            folder, item = _read(path, text)
            name = item[0].name if isinstance(item, tuple) else item.name
            if name in found[folder]:
                raise DocumentError([Problem("name", f"{name} stands in another file as well: name it once")])
            found[folder][name] = item
        except DocumentError as error:
            problems += [
                Problem(f"{path}: {problem.path}", problem.message, problem.line)
                for problem in error.problems
            ]
    if problems:
        raise DocumentError(problems)
    return _catalogue(found)


def holds_for_nobody(catalogue: Catalogue) -> list[str]:
    """Return a sentence for each policy under which a command would wait for a second person who does not exist."""
    found = []
    for policy, _ in catalogue.policies.values():
        clusters = [catalogue.clusters.get(name) for name in policy.clusters]
        alone = [cluster.name for cluster in clusters if cluster and not cluster.approvers]
        sets = [catalogue.command_sets.get(name) for name in policy.command_sets]
        held = [each.name for each in sets if each and any(rule.held for rule in each.document.commands)]
        if alone and held and not policy.approver_groups:
            found.append(
                f"policies/{policy.name}: commands of {', '.join(held)} wait for a second person, and on {', '.join(alone)} nobody could allow "
                "them: name approvers of the cluster, ask for approvals, or take `hold` out"
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
        raise DocumentError(
            [Problem("", f"is in no folder that has a meaning; use one of: {', '.join(FOLDERS)}")]
        )
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
        raise DocumentError(
            [Problem("accept", "needs `code where: reason` for each warning that is accepted")]
        )
    return CommandSetFile(parse_document(data, lines=lines), accept, text)


def read_one(folder: str, text: str) -> Catalogue:
    """Return a catalogue of the one document that stands in ``text``. Raises DocumentError with lines."""
    _, item = _read(f"{folder}/", text)
    name = item[0].name if isinstance(item, tuple) else item.name
    found: dict[str, dict[str, Any]] = {one: {} for one in FOLDERS}
    found[folder][name] = item
    return _catalogue(found)


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
            "description": "Warnings of the linter that are accepted: `code where` to the reason that approvers see",
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
