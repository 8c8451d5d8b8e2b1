"""The dry run."""

import pytest

from broker.audit.models import AuditEntry
from broker.kernel.errors import InvalidInput, StintError
from sessions_app.models import AccessPolicy, AccessRequest, Grant, Notice
from sessions_app.operations.requests.check_request import (
    NotRequestable,
    check_request,
)
from sessions_app.operations.workflows.errors import BoundToOtherWorkflow
from sessions_app.policy.decision import Outcome
from sessions_app.queries.requests import facts
from sessions_app.queries.requests.case import case_of_request
from tests.support.world.acts import after, policy


def check(world, who=None, *, now=None, **changes):
    return check_request(requester=who or world.alice, ask=world.ask(**changes), now=now or world.now)


def test_a_dry_run_says_what_would_happen_and_changes_nothing(world):
    before = AuditEntry.objects.count()
    preview = check(world)
    assert preview.decision.outcome is Outcome.NEEDS_APPROVAL
    ((_, people),) = preview.approvers
    assert [person.username for person in people] == ["bob", "dora"]
    assert (preview.starts_at, preview.ends_at) == (world.now, after(world, hours=1))
    assert [target.name for target in preview.targets] == ["web-1", "web-2"]
    assert not (AccessRequest.objects.exists())
    assert not (Grant.objects.exists())
    assert not (Notice.objects.exists())
    assert AuditEntry.objects.count() == before


def test_the_request_that_follows_has_the_digest_of_the_dry_run(world):
    kinds = ({"kind": "quick"}, {"kind": "break_glass", "reason": "Site is down"})
    for changes in ({}, {"targets": ("web-2",)}, {"starts_at": after(world, hours=3)}, *kinds):
        preview, request = check(world, **changes), world.request(**changes)
        stored = AccessRequest.objects.get(pk=request.pk)
        assert request.digest == preview.digest == facts.scope_of(stored).digest()
        assert preview.case.ask == case_of_request(stored, preview.targets, world.now).ask
        assert request.lapses_at == preview.lapses_at


def test_a_start_that_has_passed_is_refused_when_asked_and_means_at_once_when_decided(world):
    early = after(world, minutes=-5)
    preview = check(world, starts_at=early)
    assert "start" in {result.rule for result in preview.decision.refusals}
    decided = case_of_request(preview.draft, preview.targets, world.now)
    assert (preview.case.ask.starts_at, decided.ask.starts_at) == (early, None)


def test_a_refusal_shows_each_rules_answer(world):
    preview = check(world, duration=5 * 3600, reason="")
    assert preview.decision.outcome is Outcome.REFUSED
    assert {result.rule for result in preview.decision.refusals} == {"max_duration", "reason"}
    assert any(result.permitted for result in preview.decision.results)


def test_what_is_not_there_and_what_is_not_for_the_asker_get_one_answer(world):
    answers = set()
    for who, changes in (
        (world.charlie, {}),
        (world.alice, {"cluster": "db"}),
        (world.alice, {"command_set": "other"}),
        (world.alice, {"policy": "other"}),
        (world.admin, {}),
    ):
        with pytest.raises(NotRequestable) as refusal:
            check(world, who, **changes)
        answers.add(refusal.value.hint)
    assert len(answers) == 1


def test_a_removed_cluster_policy_or_command_set_can_not_be_asked_for(world):
    for gone in ("clusters/web.yaml", "command-sets/restart-web.yaml", "policies/web-work.yaml"):
        world_files = {name: text for name, text in world.catalog.items() if name != gone}
        from django.db import transaction

        from sessions_app.operations.catalog.apply_catalog import apply_catalog
        from tests.support.world.world import SETUP

        step = transaction.savepoint()
        if gone != "policies/web-work.yaml":
            del world_files["policies/web-work.yaml"]
        apply_catalog(files=world_files, actor=SETUP, now=world.now, prune=True)
        with pytest.raises(NotRequestable):
            check(world)
        transaction.savepoint_rollback(step)


def test_of_two_policies_the_one_that_asks_least_of_others_answers(world):
    free = policy(world, name="free", approvals="none", max_duration="30m")["policies/web-work.yaml"]
    world.apply({"policies/free.yaml": free})
    assert check(world, duration=1800).policy.name == "free"
    assert check(world, duration=3600).policy.name == "web-work"
    assert check(world, duration=1800, policy="web-work").policy.name == "web-work"


def test_who_it_is_is_told_only_to_those_who_may_see_it(world):
    grant = world.grant()
    assert check(world, world.robot).overlaps == ()
    policy = world.catalog["policies/web-work.yaml"] + "viewers: {identities: [robot]}\n"
    world.apply({"policies/web-work.yaml": policy})
    assert [other.ref for other in check(world, world.robot).overlaps] == [grant.ref]


def test_an_unreadable_policy_hides_no_readable_one_and_opens_nothing(world):
    broken = policy(world, name="broken", approvals="none")["policies/web-work.yaml"]
    world.apply({"policies/broken.yaml": broken})
    AccessPolicy.objects.filter(name="broken").update(document={"name": "broken", "approvals": "all"})
    assert check(world).policy.name == "web-work"
    with pytest.raises(StintError):
        check(world, policy="broken")


def test_what_a_command_set_takes_from_the_incident_is_that_incident(world):
    bound = world.catalog["command-sets/restart-web.yaml"].replace(
        "unit: {choice: [nginx, haproxy]}",
        "unit: {choice: [nginx, haproxy]}\n  incident: {from: workflow.id}",
    )
    bound = bound.replace("echo restart {unit}", "echo restart {unit} {incident}").replace(
        'allow: ["echo restart nginx"]', 'allow: ["echo log nginx 1"]'
    )
    world.apply({"command-sets/restart-web.yaml": bound})
    mine, other = world.incident(), world.incident()
    ask = {"kind": "incident", "workflow": mine.ref}
    preview = check(world, parameters={"unit": "nginx", "incident": mine.ref}, **ask)
    assert preview.decision.outcome is Outcome.STARTS
    with pytest.raises(InvalidInput, match=f"where it is {mine.ref}"):
        check(world, parameters={"unit": "nginx", "incident": other.ref}, **ask)
    left_out = check(world, parameters={"unit": "nginx"}, **ask)
    assert left_out.parameters == {"unit": "nginx", "incident": mine.ref}
    assert left_out.digest == preview.digest
    with pytest.raises(InvalidInput, match="names no open workflow"):
        check(world, parameters={"unit": "nginx", "incident": mine.ref})


def test_a_token_that_is_bound_to_a_run_asks_for_that_run_alone(world):
    ours, other = world.incident(), world.incident()
    world.alice.bound_to = ours.ref
    ask = {"kind": "incident"}
    assert check_request(requester=world.alice, ask=world.ask(**ask), now=world.now).workflow == ours
    assert (
        check_request(requester=world.alice, ask=world.ask(workflow=ours.ref, **ask), now=world.now).workflow
        == ours
    )
    with pytest.raises(BoundToOtherWorkflow):
        check_request(requester=world.alice, ask=world.ask(workflow=other.ref, **ask), now=world.now)
    world.alice.bound_to = "github:9001:1:1:1"
    refused = check_request(requester=world.alice, ask=world.ask(**ask), now=world.now)
    assert refused.decision.outcome is Outcome.REFUSED
