"""Documents with administrators of their own, and changes that widen them."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import yaml

from tests.support.world.acts import change, policy


class Wider(NamedTuple):
    """A change of one document: its name, the keys that it widens, and its text."""

    name: str
    wider: list[str]
    source: Callable[[Any], str]


def administrators(*names: str) -> dict[str, Any]:
    """Return the administrators in the form of a document."""
    return {"administrators": {"identities": list(names)}}


def web_work(world, **changes: Any) -> str:
    """Return the world's policy as administered by Dora and Bob."""
    return policy(world, **administrators("dora", "bob"), **changes)["policies/web-work.yaml"]


def web(world, **changes: Any) -> str:
    """Return the world's cluster as administered by Dora and Bob."""
    written = yaml.safe_load(world.catalog["clusters/web.yaml"])
    return json.dumps({**written, **administrators("dora", "bob"), **changes})


WIDER = {
    "policies": Wider(
        "web-work",
        ["requesters", "approvals"],
        lambda world: web_work(
            world, requesters={"groups": ["operators"], "identities": ["dora"]}, approvals="none"
        ),
    ),
    "clusters": Wider("web", ["requesters"], lambda world: web(world, requesters={"identities": ["dora"]})),
    "command-sets": Wider(
        "restart-web",
        ["commands"],
        lambda world: world.catalog["command-sets/restart-web.yaml"].replace(
            "[nginx, haproxy]", "[nginx, haproxy, httpd]"
        ),
    ),
}


def delegate(world) -> None:
    """Make Dora and Bob administrators of the world's policy, its command set, and its cluster."""
    change(world, {"policies/web-work.yaml": web_work(world), "clusters/web.yaml": web(world)})


def propose(world, kind: str = "policies", who=None):
    """Save a change that widens a document, as Dora or ``who``."""
    from sessions_app.operations.catalog.save_document import save_document

    plan = save_document(kind=kind, source=WIDER[kind].source(world), actor=who or world.dora, now=world.now)
    assert plan.proposal is not None
    return plan.proposal
