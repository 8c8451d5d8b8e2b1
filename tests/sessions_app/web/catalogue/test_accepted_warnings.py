"""A warning of the linter needs a reason at every door, and whoever decides reads it."""

from __future__ import annotations

import pytest

from broker.kernel.errors import StintError
from sessions_app.operations.catalogue.publish_command_set import NotFitToPublish, key_of, publish_command_set
from sessions_app.operations.catalogue.save_draft import save_draft
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.acts import after

KEY = "unknown_program commands[0].run"
REASON = "Our own script, which restarts one unit and checks it"
SAYS = "is not a program the linter knows"


def text(*, reason: str = "", run: str = "/usr/local/sbin/bounce {unit}", effect: str = "change") -> str:
    accept = f"accept: {{'{KEY}': '{reason}'}}\n" if reason else ""
    return (
        "name: restart-web\nkind: ssh\nsummary: Restart one web service\nrisk: medium\n"
        f"parameters:\n  unit: {{choice: [nginx, haproxy]}}\n{accept}commands:\n  - run: {run}\n    effect: {effect}\n"
        'examples:\n  allow: ["/usr/local/sbin/bounce nginx"]\n  refuse: ["/usr/local/sbin/bounce sshd"]\n'
    )


def test_an_unknown_program_is_published_by_no_door_without_a_reason(world, browser):
    with pytest.raises(StintError, match=SAYS):
        world.apply({"command-sets/restart-web.yaml": text()})
    version = save_draft(source=text(), actor=world.admin, now=world.now)
    with pytest.raises(NotFitToPublish, match=SAYS):
        publish_command_set(version_id=version.pk, actor=world.admin, now=world.now)
    api = Caller(world.admin, token_for(world.admin, world.now))
    answer = api.post(f"/command-sets/restart-web/versions/{version.number}/publish")
    assert (answer.status_code, answer.body["code"]) == (422, "not_fit_to_publish")
    page = browser("admin").post("/command-sets/restart-web/publish/", {"version": version.pk})
    assert page.status_code == 422
    assert SAYS in page.content.decode()
    assert api.get(f"/command-sets/restart-web/versions/{version.number}").body["published_at"] is None


def test_an_unknown_program_that_is_told_as_reading_is_accepted_by_nobody(world):
    reads = text(effect="read", reason=REASON)
    with pytest.raises(StintError, match=SAYS):
        world.apply({"command-sets/restart-web.yaml": reads})
    version = save_draft(source=reads, actor=world.admin, now=world.now)
    accepted = {key_of(finding): REASON for finding in version.findings}
    with pytest.raises(NotFitToPublish):
        publish_command_set(version_id=version.pk, actor=world.admin, accepted=accepted, now=world.now)


def test_the_reason_is_read_by_whoever_writes_the_set_and_whoever_decides(world, browser):
    world.apply({"command-sets/restart-web.yaml": text(reason=REASON)}, now=after(world, minutes=1))
    request = world.request()
    for who, path in (("admin", "/command-sets/restart-web/edit/"), ("admin", "/command-sets/restart-web/"),
                      ("bob", f"/approvals/{request.ref}/")):  # fmt: skip
        page = browser(who).get(path).content.decode()
        assert SAYS in page, path
        assert REASON in page, path
    bob = Caller(world.bob, token_for(world.bob, world.now))
    (told,) = bob.get(f"/requests/{request.ref}").body["accepted"]
    assert SAYS in told["message"]
    assert told["reason"] == REASON
    assert bob.get("/command-sets/restart-web/versions/2").body["accepted"] == {KEY: REASON}
