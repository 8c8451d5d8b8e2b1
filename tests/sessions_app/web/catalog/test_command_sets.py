"""Writing command sets in the pages."""

import re

import pytest

from broker.kernel.errors import StintError
from sessions_app.models import CommandSetVersion
from sessions_app.operations.catalog.publish_command_set import NotFitToPublish, publish_command_set
from sessions_app.operations.catalog.save_draft import save_draft
from tests.sessions_app.api.conftest import Caller, token_for
from tests.support.world.acts import after
from tests.support.world.reading import answered, read, says

EDIT = "/command-sets/restart-web/edit/"


def source(world, old="echo stop {unit}", new="curl {unit}") -> str:
    return world.catalog["command-sets/restart-web.yaml"].replace(old, new).lstrip()


def drafted(world, **more) -> CommandSetVersion:
    return save_draft(source=source(world, **more), actor=world.admin, now=world.now)


def test_a_fault_is_told_at_its_line_and_what_was_typed_stays(world, as_admin):
    typed = source(world).replace("risk: medium", "risk: huge <b>")
    page = answered(as_admin.post(EDIT, {"act": "save", "source": typed}), 400)
    line = next(n for n, text in enumerate(typed.splitlines(), 1) if text.startswith("risk"))
    assert f'<a href="#L{line}">Line {line}</a>: <code>risk</code>' in page
    says(page, f'<span id="L{line}" data-n="{line}" class="wrong"></span>', "risk: huge &lt;b&gt;")
    assert not CommandSetVersion.objects.filter(published_at__isnull=True).exists()


def test_of_two_who_write_a_draft_at_once_the_second_is_told_and_loses_nothing(world, as_admin):
    seen = re.search(r'name="based_on" value="([0-9]+)"', read(as_admin, EDIT))[1]
    drafted(world)
    mine = source(world, "Restart one", "Reload one")
    page = answered(as_admin.post(EDIT, {"act": "save", "source": mine, "based_on": seen}), 409)
    says(page, "Someone saved or published another draft of restart-web since you opened it", "Reload one")
    assert f'name="based_on" value="{seen}"' in page
    assert "curl" in CommandSetVersion.objects.get(published_at__isnull=True).source


def test_the_linter_speaks_while_one_types_and_nothing_is_saved(world, as_admin):
    answer = as_admin.post(EDIT, {"act": "check", "source": source(world)}, headers={"HX-Request": "true"})
    fragment = answer.content.decode()
    says(fragment, "<code>curl</code> exchanges data with other machines", "3 examples passed")
    says(fragment, 'id="gutter" aria-hidden="true" hx-swap-oob="true"', "Command curl {unit}")
    assert not CommandSetVersion.objects.filter(published_at__isnull=True).exists()


def test_a_line_is_tried_against_the_text_that_is_not_saved(world, as_admin):
    form = {"act": "try", "source": source(world), "line": "curl nginx", "p.unit": ""}
    assert ">held<" in as_admin.post(EDIT, form, headers={"HX-Request": "true"}).content.decode()
    assert ">refused<" in as_admin.post(EDIT, {**form, "line": "echo stop nginx"}).content.decode()


def test_a_draft_is_saved_then_published_with_reasons_for_its_warnings(world, as_admin):
    assert as_admin.post(EDIT, {"act": "save", "source": source(world)})["Location"] == EDIT
    version = CommandSetVersion.objects.get(published_at__isnull=True)
    says(read(as_admin, EDIT), "Publish v2", "Used by")
    (finding,) = version.findings
    key = f"{finding['code']} {finding['where']}"
    assert "be published" in answered(
        as_admin.post("/command-sets/restart-web/publish/", {"version": version.pk}), 422
    )
    form = {"version": version.pk, f"accept.{key}": "Only an inner address"}
    assert (
        as_admin.post("/command-sets/restart-web/publish/", form)["Location"] == "/command-sets/restart-web/"
    )
    version.refresh_from_db()
    assert version.accepted == {key: "Only an inner address"}


def test_only_the_draft_that_was_shown_is_published(world, as_admin):
    shown = drafted(world, new="echo halt {unit}")
    drafted(world, new="echo pause {unit}")
    answer = as_admin.post("/command-sets/restart-web/publish/", {"version": shown.pk})
    assert answer.status_code == 409
    assert CommandSetVersion.objects.filter(published_at__isnull=False).count() == 1


KEY = "unknown_program commands[0].run"
REASON = "Our own script, which restarts one unit and checks it"
SAYS = "is not a known program"


def text(*, reason: str = "", run: str = "/usr/local/sbin/bounce {unit}", effect: str = "change") -> str:
    accept = f"accept: {{'{KEY}': '{reason}'}}\n" if reason else ""
    return (
        "name: restart-web\nkind: ssh\nsummary: Restart one web service\nrisk: medium\nparameters:\n  unit:"
        f" {{choice: [nginx, haproxy]}}\n{accept}commands:\n  - run: {run}\n    effect: {effect}\nexamples:\n"
        '  allow: ["/usr/local/sbin/bounce nginx"]\n  refuse: ["/usr/local/sbin/bounce sshd"]\n'
    )


def test_an_unknown_program_is_published_by_no_entry_point_without_a_reason(world, browser):
    with pytest.raises(StintError, match=SAYS):
        world.apply({"command-sets/restart-web.yaml": text()})
    version = save_draft(source=text(), actor=world.admin, now=world.now)
    with pytest.raises(NotFitToPublish, match=SAYS):
        publish_command_set(version_id=version.pk, actor=world.admin, now=world.now)
    api = Caller(world.admin, token_for(world.admin, world.now))
    answer = api.post(f"/command-sets/restart-web/versions/{version.number}/publish")
    assert (answer.status_code, answer.body["code"]) == (422, "not_fit_to_publish")
    assert SAYS in answered(
        browser("admin").post("/command-sets/restart-web/publish/", {"version": version.pk}), 422
    )
    assert api.get(f"/command-sets/restart-web/versions/{version.number}").body["published_at"] is None


def test_the_reason_is_read_by_whoever_writes_the_set_and_whoever_decides(world, browser):
    world.apply({"command-sets/restart-web.yaml": text(reason=REASON)}, now=after(world, minutes=1))
    request = world.request()
    for who, path in (
        ("admin", "/command-sets/restart-web/edit/"),
        ("admin", "/command-sets/restart-web/"),
        ("bob", f"/approvals/{request.ref}/"),
    ):
        page = read(browser(who), path)
        assert SAYS in page, path
        assert REASON in page, path
    bob = Caller(world.bob, token_for(world.bob, world.now))
    (told,) = bob.get(f"/requests/{request.ref}").body["accepted"]
    assert SAYS in told["message"]
    assert told["reason"] == REASON
    assert bob.get("/command-sets/restart-web/versions/2").body["accepted"] == {KEY: REASON}
