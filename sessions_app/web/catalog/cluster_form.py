"""The cluster form, which converts the typed values into a catalog document, and shows each error at its
field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.http import QueryDict

from sessions_app.connectors.nested import leaves
from sessions_app.connectors.registry import ConnectorType, type_of
from sessions_app.operations.targets.cluster_connection import STORED
from sessions_app.policy.catalog import ClusterDocument
from sessions_app.policy.documents import Problem
from sessions_app.web.catalog.connection_fields import PREFIX, ConnectionField, data_of, fields_of, texts_of
from sessions_app.web.catalog.pasted_targets import TargetRow, with_pasted
from sessions_app.web.forms.faults import Faults, count_of

# A cluster with more targets than this is edited as text, because the form would be too long.
MOST_TARGETS = 60
TOO_MANY = f"The form takes at most {MOST_TARGETS} targets. Edit the cluster as text to add more."
_TARGET_FIELDS = ("name", "address", "port", "account", "host_key")
_OF_TARGET = re.compile(r"targets\[(\d+)\](?:\.(\w+))?")


@dataclass(frozen=True, slots=True)
class ClusterForm:
    """A cluster as typed. ``groups`` and ``people`` may allow held commands on the cluster. ``kept`` contains
    the fields that can be edited only as text.
    """

    kind: str = "ssh"
    name: str = ""
    summary: str = ""
    environment: str = "production"
    risk: str = "medium"
    host_ca: str = ""
    groups: str = ""
    people: str = ""
    targets: tuple[TargetRow, ...] = (TargetRow(),)
    connection: Mapping[str, str] = field(default_factory=dict)
    stored: frozenset[str] = frozenset()
    kept: Mapping[str, Any] = field(default_factory=dict)
    pasted: str = ""
    faults: Faults = field(default_factory=Faults)

    def source(self) -> str:
        """Return the document as JSON, which is also valid YAML."""
        data: dict[str, Any] = {
            "name": self.name,
            "kind": self.kind,
            "summary": self.summary,
            "environment": self.environment,
            "risk": self.risk,
            "targets": [_data_of(row) for row in self.targets if not row.is_empty],
            **self.kept,
        }
        if self.host_ca:
            data["host_ca"] = self.host_ca
        if connection := data_of(self.type_, self.connection, self.stored):
            data["connection"] = connection
        approvers = {"groups": _words(self.groups), "identities": _words(self.people)}
        if any(approvers.values()):
            data["approvers"] = {key: names for key, names in approvers.items() if names}
        return json.dumps(data, ensure_ascii=False)

    @property
    def type_(self) -> ConnectorType:
        """The cluster's connector type. Raises ConnectorError."""
        return type_of(self.kind)

    @property
    def fields(self) -> list[ConnectionField]:
        """The connection parameters, as fields."""
        return fields_of(self.type_, self.connection, self.stored)

    def with_more_targets(self) -> ClusterForm:
        """Return the form with one more empty row, unless rows were just pasted."""
        return self if self.pasted else replace(self, targets=(*self.targets, TargetRow()))

    @property
    def few(self) -> bool:
        """Whether the number of targets is small enough to show each with its labels on a narrow screen."""
        return len(self.targets) <= 2

    @property
    def fingerprints(self) -> list[tuple[str, str]]:
        """The names of the targets with their keys' fingerprints."""
        return [(row.name, row.fingerprint) for row in self.targets if row.fingerprint]

    def with_problems(self, problems: Sequence[Problem]) -> ClusterForm:
        """Return the form with each error at its field, in field order. Errors without a field go above the
        form.
        """
        if self.faults.at:
            return self
        found: dict[str, dict[str, None]] = {}
        for problem in problems:
            found.setdefault(self._field_of(problem), {})[problem.sentence] = None
        names = [name for name in self._names() if name in found]
        at = {name: " ".join(found.pop(name)) for name in names}
        above = " ".join(text for texts in found.values() for text in texts)
        return replace(self, faults=Faults(at, ("Not saved.", above) if above else count_of(at)))

    def _field_of(self, problem: Problem) -> str:
        """Return the form field of a problem. A problem with several targets has no path, but its message
        names the targets.
        """
        if problem.path:
            return _field_of(problem.path)
        names = [row.name for row in self.targets]
        if "the same name" in problem.message:
            return next((f"t{at}.name" for at, name in enumerate(names) if name in names[:at]), "")
        named = (
            f"t{at}.host_key"
            for at, name in enumerate(names)
            if problem.message.startswith((f"{name}:", f"{name},"))
        )
        return next(named, "")

    def _names(self) -> list[str]:
        targets = [f"t{at}.{name}" for at in range(len(self.targets)) for name in _TARGET_FIELDS]
        connection = [PREFIX + one.name for one in self.fields]
        return [
            "name",
            "summary",
            "environment",
            "risk",
            *targets,
            *connection,
            "host_ca",
            "groups",
            "people",
        ]


def _field_of(path: str) -> str:
    """Return the name of the form field for a path in the document."""
    if of_target := _OF_TARGET.match(path):
        return f"t{of_target[1]}.{of_target[2] or 'name'}"
    whole = path.partition("[")[0]
    fields = {
        "targets": "t0.name",
        "approvers": "groups",
        "approvers.groups": "groups",
        "approvers.identities": "people",
    }
    return fields.get(whole, whole)


def form_of(document: ClusterDocument) -> ClusterForm:
    """Convert a document to a form."""
    who = document.approvers
    secrets = {name for name, value in leaves(document.connection).items() if value == STORED}
    return ClusterForm(
        kind=document.kind,
        connection=texts_of(document.connection),
        stored=frozenset(secrets),
        name=document.name,
        summary=document.summary,
        environment=document.environment,
        risk=document.risk,
        host_ca=document.host_ca or "",
        groups=", ".join(who.groups if who else ()),
        people=", ".join(who.identities if who else ()),
        kept=document.model_dump(
            mode="json", include={"requesters", "viewers", "administrators"}, exclude_none=True
        ),
        targets=tuple(
            TargetRow(one.name, one.address, str(one.port or ""), one.account or "", one.host_key or "")
            for one in document.targets
        ),
    )


def form_of_post(data: QueryDict, kind: str = "ssh") -> ClusterForm:
    """Convert submitted data to a cluster form with at least one row. Empty rows and rows marked for removal
    are dropped, and pasted targets are added.
    """

    def said(name: str) -> str:
        return data.get(name, "").strip()

    count = data.get("rows", "")
    numbers = range(min(int(count), MOST_TARGETS + 1) if count.isdecimal() and len(count) < 4 else 0)
    rows = [_row(data, number) for number in numbers if not data.get(f"t{number}.drop")]
    pasted = said("pasted")
    targets = with_pasted(rows, pasted)
    if crowded := bool(pasted) and len(targets) > MOST_TARGETS:
        targets = with_pasted(rows, "")
    sent = {name.removeprefix(PREFIX): said(name) for name in data if name.startswith(PREFIX)}
    return ClusterForm(
        kind=kind,
        connection=sent,
        name=said("name"),
        summary=said("summary"),
        environment=said("environment"),
        risk=said("risk"),
        host_ca=said("host_ca"),
        groups=said("groups"),
        people=said("people"),
        targets=targets or (TargetRow(),),
        pasted=pasted,
        faults=Faults({"pasted": TOO_MANY} if crowded else {}),
    )


def _data_of(row: TargetRow) -> dict[str, Any]:
    """Return a row in the format of a catalog file."""
    port: int | str = int(row.port) if row.port.isdecimal() and len(row.port) < 9 else row.port
    said = {"port": port, "account": row.account, "host_key": row.host_key}
    return {"name": row.name, "address": row.address, **{key: value for key, value in said.items() if value}}


def _row(data: QueryDict, number: int) -> TargetRow:
    name, address, port, account, host_key = (
        data.get(f"t{number}.{field}", "").strip() for field in _TARGET_FIELDS
    )
    return TargetRow(name, address, port, account, host_key)


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s,]+", text) if word]
