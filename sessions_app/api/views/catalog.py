"""Clusters, command sets, policies, and the files that define them."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response

from accounts.actors import actor_of
from accounts.models import Scope
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.api import reads
from sessions_app.api.bodies import Acceptance, Draft, Files, Try
from sessions_app.api.endpoint import Endpoint
from sessions_app.api.filters import ByName
from sessions_app.api.idempotency import once
from sessions_app.api.schema import described, paged
from sessions_app.api.shapes.catalog import (
    ClusterShape,
    CommandSetShape,
    PlanShape,
    PolicyShape,
    TriedShape,
    VersionShape,
)
from sessions_app.models import CommandSetVersion
from sessions_app.operations.catalog.apply_catalog import Plan, apply_catalog
from sessions_app.operations.catalog.publish_command_set import key_of, publish_command_set
from sessions_app.operations.catalog.save_draft import save_draft
from sessions_app.policy.commands.answers import CompileError, Refused
from sessions_app.policy.commands.budgets import say_budgets
from sessions_app.policy.commands.kinds import compile_open, decide
from sessions_app.queries.catalog.command_sets import compiled, document_of


class Clusters(Endpoint):
    """The clusters that the caller may see."""

    @described(paged(ClusterShape), query=ByName)
    def get(self, request: Request) -> Response:
        """List the clusters that you can see, with their targets, by name."""
        return self.page(reads.clusters(self.identity), ClusterShape, self.query(ByName), key="name")


class OneCluster(Endpoint):
    """One cluster."""

    @described(ClusterShape)
    def get(self, request: Request, name: str) -> Response:
        """Get a cluster with its targets."""
        return self.answer(ClusterShape, reads.cluster_of(self.identity, name))


class CommandSets(Endpoint):
    """The command sets that the caller may see."""

    @described(paged(CommandSetShape), query=ByName)
    def get(self, request: Request) -> Response:
        """List the command sets that you can see, by name."""
        return self.page(reads.command_sets(self.identity), CommandSetShape, self.query(ByName), key="name")

    @described(VersionShape, body=Draft, status=201)
    @once
    def post(self, request: Request) -> Response:
        """Save YAML as a draft of the command set that the YAML names. Administrators only."""
        draft = save_draft(source=self.body(Draft)["source"], actor=self.identity, now=clock.now())
        place = f"/api/v1/command-sets/{draft.command_set.name}/versions/{draft.number}"
        return self.answer(VersionShape, draft, status=201, Location=place)


class OneCommandSet(Endpoint):
    """One command set."""

    @described(CommandSetShape)
    def get(self, request: Request, name: str) -> Response:
        """Get a command set and its versions."""
        return self.answer(CommandSetShape, reads.command_set_of(self.identity, name))


class OneVersion(Endpoint):
    """One version of a command set."""

    @described(VersionShape)
    def get(self, request: Request, name: str, number: int) -> Response:
        """Get a version: its source, its commands, and the linter's findings."""
        return self.answer(VersionShape, reads.version_of(self.identity, name, number))


class VersionPublish(Endpoint):
    """Publishes a draft."""

    @described(VersionShape, body=Acceptance)
    @once
    def post(self, request: Request, name: str, number: int) -> Response:
        """Publish a draft. A published version is immutable. Administrators only."""
        self.administrators_only()
        accepted = self.body(Acceptance)["accepted"]
        draft = reads.version_of(self.identity, name, number)
        _check_accepted(draft, accepted)
        publish_command_set(version_id=draft.pk, actor=self.identity, accepted=accepted, now=clock.now())
        return self.answer(VersionShape, reads.version_of(self.identity, name, number))


def _check_accepted(draft: CommandSetVersion, accepted: dict[str, str]) -> None:
    known = {key_of(finding) for finding in draft.findings}
    if unknown := sorted(set(accepted) - known):
        raise InvalidInput(
            "You accepted a finding that the linter did not report.",
            hint=f"It reported: {', '.join(sorted(known)) or 'nothing'}.",
            fields={f"accepted.{name}": ["Unknown finding."] for name in unknown},
        )


class CommandTry(Endpoint):
    """Tests a command line."""

    scope: ClassVar[str] = Scope.READ

    @described(TriedShape, body=Try)
    @once
    def post(self, request: Request, name: str) -> Response:
        """Test how the gateway would decide on a command line, and return the closest allowed command.
        Nothing is run.
        """
        sent = self.body(Try)
        version = reads.version_of(self.identity, name, sent["version"])
        return self.answer(TriedShape, _tried(version, sent["line"], sent["parameters"]))


def _tried(version: CommandSetVersion, line: str, parameters: dict[str, str] | None) -> dict[str, Any]:
    try:
        usable = compile_open(document_of(version)) if parameters is None else compiled(version, parameters)
    except CompileError as error:
        raise InvalidInput(str(error), fields=error.fields) from error
    decision = decide(usable, line)
    if isinstance(decision, Refused):
        return {
            "verdict": "refused",
            "version": version.number,
            "index": None,
            "argv": [],
            "effect": None,
            "finish_seconds": None,
            "matched": {},
            "notes": [],
            "reason": decision.reason,
            "nearest": decision.nearest,
            "code": decision.code,
        }
    budgets = say_budgets(budget for _, budget in usable.budgets_of(decision.index))
    return {
        "verdict": "held" if decision.hold else "allowed",
        "version": version.number,
        "index": decision.index,
        "argv": decision.argv,
        "effect": decision.effect,
        "finish_seconds": decision.finish_seconds,
        "matched": decision.matched,
        "notes": [*decision.notes, *(f"budget: {text}" for text in budgets)],
        "reason": "",
        "nearest": None,
        "code": None,
    }


class Policies(Endpoint):
    """The policies that the caller may see."""

    @described(paged(PolicyShape), query=ByName)
    def get(self, request: Request) -> Response:
        """List the access policies that you can see, by name."""
        return self.page(reads.policies(self.identity), PolicyShape, self.query(ByName), key="name")


class OnePolicy(Endpoint):
    """One policy."""

    @described(PolicyShape)
    def get(self, request: Request, name: str) -> Response:
        """Get an access policy."""
        return self.answer(PolicyShape, reads.policy_of(self.identity, name))


class _Catalog(Endpoint):
    def applied(self, *, plan_only: bool) -> Plan:
        """Apply the files in the body, or only plan the changes."""
        self.administrators_only()
        sent = self.body(Files)
        return apply_catalog(actor=actor_of(self.identity), now=clock.now(), plan_only=plan_only, **sent)


class CatalogPlan(_Catalog):
    """Plans the changes that files would make."""

    @described(PlanShape, body=Files)
    @once
    def post(self, request: Request) -> Response:
        """Return what applying the files would change, as a diff. Changes nothing. Administrators only."""
        return self.answer(PlanShape, self.applied(plan_only=True))


class CatalogApply(_Catalog):
    """Applies files."""

    @described(PlanShape, body=Files)
    @once
    def post(self, request: Request) -> Response:
        """Apply the files to the catalog, in one transaction. Administrators only."""
        return self.answer(PlanShape, self.applied(plan_only=False))
