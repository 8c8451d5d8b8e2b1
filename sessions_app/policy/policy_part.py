"""The base class of all parts of a policy, and the type of the names in a policy."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from sessions_app.policy import references

Name = Annotated[str, Field(pattern=f"^{references.NAME}$")]


class PolicyPart(BaseModel):
    """A part of a policy's document."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
