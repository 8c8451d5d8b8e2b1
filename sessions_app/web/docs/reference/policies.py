"""The keys of policies."""

from __future__ import annotations

from sessions_app.policy.policies import PolicyDocument
from sessions_app.policy.starter_policy import policy_source
from sessions_app.web.docs.reference.documents import fence, keys_of
from sessions_app.web.docs.reference.entries import Page, Part


def page() -> Page:
    """Return the page with every key of a policy, and an example."""
    example = policy_source(
        name="web-work",
        clusters=["web"],
        command_sets=["restart-web"],
        requesters=["engineers"],
        approvers=["leads"],
    )
    return Page(
        "policies",
        "Policy keys",
        "Every key of a policy file in `policies/`: its type, its default, and what it does.",
        [
            Part(
                "Keys",
                keys_of(PolicyDocument).entries(),
                f"Unknown keys are refused. The smallest useful policy:\n\n{fence(example)}",
            )
        ],
    )
