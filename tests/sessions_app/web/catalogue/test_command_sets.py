"""Writing command sets in the pages."""

from __future__ import annotations

import re

import pytest

from sessions_app.models import CommandSet, CommandSetVersion
from sessions_app.operations.catalogue.save_draft import save_draft
from tests.support.world.acts import change, policy
from tests.support.world.mcp_site import files

EDIT = "/command-sets/restart-web/edit/"


@pytest.fixture
def as_admin(browser):
    return browser("admin")


def source(world, old="echo stop {unit}", new="curl {unit}") -> str:
    return world.catalogue["command-sets/restart-web.yaml"].replace(old, new).lstrip()


def drafted(world, **more) -> CommandSetVersion:
    return save_draft(source=source(world, **more), actor=world.admin, now=world.now)


def test_a_fault_is_told_at_its_line_and_what_was_typed_stays(world, as_admin):
    typed = source(world).replace("risk: medium", "risk: huge <b>")
    answer = as_admin.post(EDIT, {"act": "save", "source": typed})
    page = answer.content.decode()
    assert answer.status_code == 400
    line = next(n for n, text in enumerate(typed.splitlines(), 1) if text.startswith("risk"))
    assert f'<a href="#L{line}">Line {line}</a>: <code>risk</code>' in page
    assert f'<span id="L{line}" data-n="{line}" class="wrong"></span>' in page
    assert "risk: huge &lt;b&gt;" in page
    assert not CommandSetVersion.objects.filter(published_at__isnull=True).exists()


def test_of_two_who_write_a_draft_at_once_the_second_is_told_and_loses_nothing(world, as_admin):
    seen = re.search(r'name="based_on" value="([0-9]+)"', as_admin.get(EDIT).content.decode())[1]
    drafted(world)
    mine = source(world, "Restart one", "Reload one")
    answer = as_admin.post(EDIT, {"act": "save", "source": mine, "based_on": seen})
    page = answer.content.decode()
    assert answer.status_code == 409
    assert "Someone saved or published another draft of restart-web since you opened it" in page
    assert "Reload one" in page
    assert f'name="based_on" value="{seen}"' in page
    assert "curl" in CommandSetVersion.objects.get(published_at__isnull=True).source


def test_the_linter_speaks_while_one_types_and_nothing_is_saved(world, as_admin):
    answer = as_admin.post(EDIT, {"act": "check", "source": source(world)}, headers={"HX-Request": "true"})
    fragment = answer.content.decode()
    assert "<code>curl</code> fetches from and sends to other machines" in fragment
    assert "3 examples passed" in fragment
    assert 'id="gutter" aria-hidden="true" hx-swap-oob="true"' in fragment
    assert "Command curl {unit}" in fragment
    assert not CommandSetVersion.objects.filter(published_at__isnull=True).exists()


def test_an_example_that_does_not_hold_is_told(world, as_admin):
    typed = source(world, '"echo restart sshd"]', '"echo restart nginx"]')
    page = as_admin.post(EDIT, {"act": "check", "source": typed}).content.decode()
    assert "An example failed" in page
    assert "1 of 3 examples failed" in " ".join(page.split())


def test_a_line_is_tried_against_the_text_that_is_not_saved(world, as_admin):
    form = {"act": "try", "source": source(world), "line": "curl nginx", "p.unit": ""}
    assert ">held<" in as_admin.post(EDIT, form, headers={"HX-Request": "true"}).content.decode()
    assert ">refused<" in as_admin.post(EDIT, {**form, "line": "echo stop nginx"}).content.decode()


def test_a_draft_is_saved_then_published_with_reasons_for_its_warnings(world, as_admin):
    assert as_admin.post(EDIT, {"act": "save", "source": source(world)})["Location"] == EDIT
    version = CommandSetVersion.objects.get(published_at__isnull=True)
    page = as_admin.get(EDIT).content.decode()
    assert "Publish v2" in page
    assert "Used by" in page
    (finding,) = version.findings
    key = f"{finding['code']} {finding['where']}"
    refused = as_admin.post("/command-sets/restart-web/publish/", {"version": version.pk})
    assert refused.status_code == 422
    assert "be published" in refused.content.decode()
    form = {"version": version.pk, f"accept.{key}": "Only an inner address"}
    assert (
        as_admin.post("/command-sets/restart-web/publish/", form)["Location"] == "/command-sets/restart-web/"
    )
    version.refresh_from_db()
    assert version.accepted == {key: "Only an inner address"}


def test_a_set_whose_parameter_is_no_choice_offers_a_field_for_trying_it(world, browser):
    change(world, {"command-sets/agent-ticket.yaml": files(9000)["command-sets/agent-ticket.yaml"]})
    page = browser("admin").get("/command-sets/agent-ticket/")
    assert page.status_code == 200
    assert '<input class="ctl" id="try-ticket" name="p.ticket" value=""' in page.content.decode()


def test_grants_keep_what_was_approved(world, as_admin):
    grant = world.grant()
    drafted(world, new="echo halt {unit}")
    assert "1 live grant keeps the approved version" in as_admin.get(EDIT).content.decode()
    grant.refresh_from_db()
    assert grant.command_set_version.number == 1


def test_only_the_draft_that_was_shown_is_published(world, as_admin):
    shown = drafted(world, new="echo halt {unit}")
    drafted(world, new="echo pause {unit}")
    answer = as_admin.post("/command-sets/restart-web/publish/", {"version": shown.pk})
    assert answer.status_code == 409
    assert CommandSetVersion.objects.filter(published_at__isnull=False).count() == 1


def test_a_text_that_was_changed_since_it_was_saved_offers_no_publishing(world, as_admin):
    drafted(world)
    page = as_admin.post(
        EDIT, {"act": "check", "source": source(world, new="echo pause {unit}")}
    ).content.decode()
    assert "Publish v2" not in page
    assert "The text has unsaved changes" in page


def test_a_draft_shows_what_it_changes(world, as_admin):
    drafted(world, new="echo halt {unit}")
    page = as_admin.get("/command-sets/restart-web/?version=2").content.decode()
    assert "Changes since v1" in page
    assert "Command echo halt {unit}" in page
    assert "Command echo stop {unit}" in page
    assert '<span class="del">-  - run: echo stop {unit}</span>' in page


@pytest.mark.parametrize("start", ["restart", "logs", "empty"])
def test_a_new_set_begins_with_one_that_can_be_published(world, as_admin, start):
    page = as_admin.get(f"/new/command-set/?start={start}").content.decode()
    assert "An example failed" not in page
    assert 'class="note t-' not in page.split('id="checked"')[1].split("</section>")[0]
    from sessions_app.policy.commands.kinds import starter

    begun = starter(start)
    answer = as_admin.post("/new/command-set/", {"act": "save", "source": begun.source})
    assert answer["Location"] == f"/command-sets/{begun.name}/edit/"
    version = CommandSetVersion.objects.get(command_set__name=begun.name)
    as_admin.post(f"/command-sets/{begun.name}/publish/", {"version": version.pk})
    assert CommandSet.objects.get(name=begun.name).published


def test_who_administers_the_policies_that_name_a_set_may_write_it(world, browser):
    assert browser("bob").get(EDIT).status_code == 404
    change(world, policy(world, administrators={"identities": ["bob"]}))
    client = browser("bob")
    client.post(EDIT, {"act": "save", "source": source(world, new="echo halt {unit}")})
    assert "v2 draft" in client.get("/command-sets/restart-web/").content.decode()
    assert client.get("/new/command-set/").status_code == 404
    other = source(world).replace("name: restart-web", "name: other")
    assert client.post(EDIT, {"act": "save", "source": other}).status_code == 400


def test_a_set_is_removed_by_two_presses(world, as_admin):
    assert "No grants end" in as_admin.post("/command-sets/restart-web/remove/").content.decode()
    assert CommandSet.objects.live().exists()
    as_admin.post("/command-sets/restart-web/remove/", {"confirm": "1", "told": ""})
    assert not CommandSet.objects.live().exists()
