"""What administrators do in a browser: simulate, replay, change a policy; write and publish commands; check targets."""

from __future__ import annotations

from playwright.sync_api import expect

from broker.demo.sshd import SshTarget
from tests.support.browser.screens import PHONE
from tests.support.world.acts import Started


def workflow() -> None:
    """What the worker does: carry out the checks that wait. In a thread, for the browser's loop runs in this one."""
    from broker.kernel import clock
    from sessions_app.models import TargetCheck
    from sessions_app.operations.targets.carry_out_check import carry_out_check

    def carry_out() -> None:
        for pk in list(TargetCheck.objects.filter(finished_at__isnull=True).values_list("pk", flat=True)):
            carry_out_check(check_id=pk, now=clock.now)

    Started(carry_out).result()


def test_simulate_then_replay_then_change_the_policy_knowing_what_ends(live_world, visit):
    grant = live_world.grant()
    long = live_world.request(duration=3 * 3600)
    admin = visit("admin")
    admin.goto("/policies/web-work/")
    admin.get_by_role("link", name="Simulate").click()
    admin.get_by_label("Requester", exact=True).fill("alice")
    answer = admin.locator("#simulated")
    expect(answer).to_contain_text("Needs 1 approval")
    admin.get_by_label("Duration", exact=True).fill("9h")
    expect(answer).to_contain_text("9 h exceeds the limit of 4 h")
    admin.get_by_label("Duration", exact=True).fill("1h")
    admin.locator(".seg label", has_text="Incident").click()
    expect(answer).to_contain_text("No incident is named")
    admin.get_by_label("An incident is open on the cluster").check()
    expect(answer).to_contain_text("Starts without approval")

    admin.goto("/policies/web-work/edit/")
    text = admin.get_by_label("Policy (YAML)")
    before = text.input_value()
    text.fill(before.replace("max_duration: 4h", "max_duration: soon"))
    line = next(n for n, one in enumerate(before.splitlines(), 1) if one.startswith("max_duration"))
    expect(admin.locator("#faults")).to_contain_text(f"Line {line}")
    expect(admin.locator(f"#L{line}")).to_have_class("wrong")
    text.fill(before.replace("max_duration: 4h", "max_duration: 30m"))
    expect(admin.locator("#faults")).to_be_empty()
    expect(admin.locator("#checked")).to_contain_text("For up to 30 min")
    admin.get_by_role("button", name="Replay").click()
    expect(admin.locator("#replayed")).to_contain_text("2 decisions of 2 requests would change")
    expect(admin.locator("#replayed")).to_contain_text(long.ref)
    admin.get_by_label("Requester", exact=True).fill("alice")
    expect(admin.locator("#simulated")).to_contain_text("1 h exceeds the limit of 30 min")

    admin.get_by_role("button", name="Save", exact=True).click()
    expect(admin.locator("main")).to_contain_text("Saving it ends 1 grant immediately")
    grant.refresh_from_db()
    assert grant.state == "active"
    admin.get_by_role("button", name="Save and end 1 grant").click()
    expect(admin.locator(".messages")).to_contain_text("1 grant ends")
    grant.refresh_from_db()
    assert grant.state == "revoking"


def test_commands_are_written_tried_and_published(live_world, visit):
    admin = visit("admin")
    admin.goto("/command-sets/restart-web/")
    admin.get_by_role("link", name="Edit").click()
    text = admin.get_by_label("Command set (YAML)")
    text.fill(text.input_value().replace("echo stop {unit}", "curl {unit}"))
    expect(admin.locator("#checked")).to_contain_text("reads and writes local files")
    expect(admin.locator("#checked")).to_contain_text("Command curl {unit}")
    admin.get_by_label("Command", exact=True).fill("curl nginx")
    expect(admin.locator("#tried")).to_contain_text("held")
    admin.get_by_role("button", name="Save draft").click()
    admin.get_by_label("Reason to accept “").fill("Only an inner address")
    admin.get_by_role("button", name="Publish v2").click()
    expect(admin.locator(".messages")).to_contain_text("restart-web v2 is published")
    expect(admin.locator("main")).to_contain_text("Accepted: Only an inner address")


def test_a_target_is_checked_step_by_step_on_a_phone(live_world, visit):
    from sessions_app.models import Target
    from sessions_app.operations.targets.ensure_authority import ensure_authority
    from sessions_app.queries.authority import SSH_USER_CA

    ca = ensure_authority(SSH_USER_CA, now=live_world.now)
    with SshTarget([], ["web"]) as sshd:
        Target.objects.filter(name="web-1").update(port=sshd.port, host_key=sshd.host_key)
        admin = visit("admin", PHONE, has_touch=True)
        admin.goto("/clusters/web/")
        admin.locator(".check", has_text="web-1").locator("summary").click()
        admin.get_by_role("button", name="Check web-1").click()
        expect(admin.locator("#checks")).to_contain_text("Checking")
        workflow()
        expect(admin.locator("#checks")).to_contain_text("1 step failed")
        expect(admin.locator("#checks")).to_contain_text(
            "did not accept Stint's certificate for stint:web as root"
        )
        sshd.trust([ca.public_key])
        admin.get_by_role("button", name="Check web-1").click()
        expect(admin.locator("#checks .pill", has_text="Checking").first).to_be_visible()
        workflow()
        expect(admin.locator("#checks")).to_contain_text("Passed")
    admin.goto("/clusters/")
    expect(admin.locator("main")).to_contain_text("1 of 2 never checked")
