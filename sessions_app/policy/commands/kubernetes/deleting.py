"""The check for the body of a delete request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sessions_app.policy.commands.characters import clip
from sessions_app.policy.commands.kubernetes.api_request import KubeRequest, Sent
from sessions_app.policy.commands.kubernetes.checks import ALWAYS, Check, Pairs, Taken, check_query, dry
from sessions_app.policy.commands.kubernetes.texts import Text, fill, literal, slots_of
from sessions_app.policy.commands.kubernetes.wants import Differs, Said, Types, Values


@dataclass(frozen=True, slots=True)
class Deletes(Check):
    """A delete. If the line has no grace period, the object's own grace period applies."""

    grace: Text | None = None

    def filled(self, values: Values) -> Deletes:
        return self if self.grace is None else replace(self, grace=fill(self.grace, values))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(slots_of(self.grace or ())))

    @property
    def limits(self) -> str:
        return "grace period" if self.grace else ""

    def take(self, request: KubeRequest, sent: Sent, types: Types, known: Values) -> Taken:
        many = request.verb == "deletecollection"
        check_query(request, ALWAYS | {"dryRun", "labelSelector"} if many else ALWAYS | {"dryRun"})
        body = sent.body if sent.body is not None else {}
        if not isinstance(body, Mapping):
            raise Differs("the body must be DeleteOptions")
        for key, value in body.items():
            self._option(key, value)
        grace = body.get("gracePeriodSeconds")
        if grace is None:
            return Taken(known, options=dry(request))
        if self.grace is None:
            raise Differs("the command has no grace period: remove --grace-period, --now and --force")
        return Taken(
            Said(self.grace, number=True).take(grace, types, known),
            options=("--grace-period", str(grace), *dry(request)),
        )

    def _option(self, key: str, value: Any) -> None:
        allowed = {
            "kind": ("DeleteOptions",),
            "propagationPolicy": ("Background", "Foreground"),
            "apiVersion": None,
            "preconditions": None,
            "gracePeriodSeconds": None,
        }
        if key not in allowed or (allowed[key] is not None and value not in (allowed[key] or ())):
            raise Differs(f"the command does not allow {key} {clip(str(value))}")

    def render(self, verb: str) -> tuple[Pairs, Sent]:
        body: dict[str, Any] = {"propagationPolicy": "Background"}
        if self.grace and (grace := literal(self.grace) or "").isdigit():
            body["gracePeriodSeconds"] = int(grace)
        return (), Sent("application/json", body)
