"""The people and webhooks that a policy notifies of requests and grants, and those that it notifies if no one
responds.
"""

from __future__ import annotations

from pydantic import Field, model_validator

from sessions_app.policy.durations import Duration
from sessions_app.policy.policy_part import Name, PolicyPart


class Notify(PolicyPart):
    """The people and webhooks to notify of requests and grants under the policy: these groups of approvers
    first, and these webhooks.
    """

    first: tuple[Name, ...] = Field(
        default=(), max_length=20, description="The approvers to notify first. Default: all"
    )
    webhooks: tuple[Name, ...] = Field(
        default=(), max_length=20, description="Webhooks with `scope: policies`", examples=[["chat"]]
    )


class Next(PolicyPart):
    """The groups and webhooks that an escalation step notifies."""

    groups: tuple[Name, ...] = Field(
        default=(),
        max_length=20,
        description="Groups to notify. They must be able to see requests under this policy",
        examples=[["managers"]],
    )
    webhooks: tuple[Name, ...] = Field(
        default=(), max_length=20, description="Webhooks", examples=[["pager"]]
    )

    @model_validator(mode="after")
    def _not_empty(self) -> Next:
        if not self.groups and not self.webhooks:
            raise ValueError("name at least one group or webhook; an empty list means no one")
        return self


class Step(PolicyPart):
    """The groups and webhooks to notify if no one has responded for this long."""

    after: Duration = Field(description="The time without a decision after which they are notified")
    notify: Next
