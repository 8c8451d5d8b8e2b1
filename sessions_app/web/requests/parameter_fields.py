"""The form fields for the parameters of a command set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sessions_app.models import (
    Workflow,
)
from sessions_app.policy.commands.parameters import Choice, Duration, Int, ParameterType
from sessions_app.queries.catalog import command_sets as commands
from sessions_app.web.forms.request_draft import Draft
from sessions_app.web.requests.set_options import SetOption
from sessions_app.web.requests.terms import Terms


@dataclass(frozen=True, slots=True)
class ParameterField:
    """One parameter as a field of the form."""

    name: str
    kind: str
    limits: str
    choices: tuple[str, ...]
    low: str
    high: str
    value: str
    # The value comes from the workflow, so the requester can't choose it.
    from_workflow: bool = False

    @property
    def template(self) -> str:
        """The template that renders the field."""
        shape = "select" if self.choices else "text"
        shape = "radio" if self.is_short else shape
        return f"requests/_field_{'from_workflow' if self.from_workflow else shape}.html"

    @property
    def is_number(self) -> bool:
        """Whether the field takes a number."""
        return self.kind == "int"

    @property
    def is_short(self) -> bool:
        """Whether the choices are few and short enough to fit side by side."""
        return 0 < len(self.choices) <= 4 and sum(map(len, self.choices)) <= 40


def fields_of(
    terms: Sequence[Terms], option: SetOption, draft: Draft, workflow: Workflow | None = None
) -> list[ParameterField]:
    """Return the form fields for a command set's parameters, with values from the draft or the workflow."""
    versions = (version for one in terms if one.name in option.policies for version in one.versions)
    chosen = next((version for version in versions if version.document["name"] == option.name), None)
    document = commands.document_of(chosen) if chosen else None
    return (
        [_field(name, type_, draft, workflow) for name, type_ in document.parameters.items()]
        if document
        else []
    )


def _field(name: str, type_: ParameterType, draft: Draft, workflow: Workflow | None) -> ParameterField:
    choices = type_.choices if isinstance(type_, Choice) else ()
    low, high = map(str, type_.bounds) if isinstance(type_, Int | Duration) else ("", "")
    from_workflow = workflow.fact(type_.source.removeprefix("workflow.")) if workflow and type_.source else ""
    usual = choices[0] if len(choices) == 1 else ""
    return ParameterField(
        name=name,
        kind=type_.kind,
        limits=type_.wanted,
        choices=choices,
        low=low,
        high=high,
        value=from_workflow if type_.source else draft.parameters.get(name, "") or usual,
        from_workflow=bool(type_.source),
    )
