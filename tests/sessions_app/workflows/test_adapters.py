"""What each provider's work looks like, asked over the wire and told by its webhooks, as its documentation
has them.
"""

import datetime as dt
import json

import pytest
from pydantic import ValidationError

from sessions_app.workflows import github, gitlab, pagerduty, standard
from sessions_app.workflows.base import (
    EARLIEST,
    LATEST,
    DeliveryRefused,
    Hint,
    InTrouble,
    NotAnId,
    OddAnswer,
    SourceError,
    Standing,
    moment_of,
)
from sessions_app.workflows.registry import types
from tests.support.servers.outside import (
    outside,
    pagerduty_entry,
    pagerduty_event,
    pagerduty_incident,
    pagerduty_on_call,
    signed_by_github,
    signed_by_standard,
    tell_pagerduty,
)

NOW = dt.datetime(2026, 11, 25, 12, tzinfo=dt.UTC)
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PD, GH, GL, STD = pagerduty.TYPE, github.TYPE, gitlab.TYPE, standard.TYPE
IDS = {"pagerduty": "Q1ABCDEF2GHIJK", "github": "42:9001:1:77", "gitlab": "5:77", "standard": "T-17"}


@pytest.fixture
def system():
    with outside() as found:
        yield found


def made(type_, url="https://there.example", **more):
    given = {"url": url, "token": "t0ken", **more}
    if type_ is STD:
        given["url"] += "/api/{id}"
    return type_.make(type_.parameters(**given))


def lower(headers):
    return {name.lower(): value for name, value in headers.items()}


@pytest.mark.parametrize("type_", [PD, GH, GL, STD], ids=lambda one: one.provider)
class TestEveryAdapter:
    def test_is_registered_and_hides_its_secrets(self, type_):
        assert types()[type_.provider] is type_
        adapter = made(type_)
        assert "t0ken" not in repr(adapter) + repr(vars(adapter))

    @pytest.mark.parametrize("bad", ["", "..", "a/b", "Q1?x=1", "Q1#", "é", "1:2:3:4:5", "x" * 200, "Q1\n"])
    def test_asks_for_nothing_that_is_no_id(self, type_, bad, system):
        with pytest.raises(NotAnId):
            made(type_, system.url).status(bad)
        assert system.asked == []

    def test_names_what_is_open_by_the_sources_own_id_which_is_read_again_by_it(self, type_, system):
        asked = {**IDS, "pagerduty": "12345", "standard": "t-17"}[type_.provider]
        own = IDS[type_.provider]
        for outside_id in (asked, own):
            system.pages |= open_pages(outside_id)
            assert made(type_, system.url).status(outside_id).outside_id == own

    def test_what_is_open_without_a_usable_id_has_none(self, type_, system):
        own = IDS[type_.provider]
        for odd in (None, "a/b", {}):
            system.pages |= open_pages(own, odd)
            status = made(type_, system.url).status(own)
            assert (status.standing, status.outside_id) == (Standing.OPEN, "")

    @pytest.mark.parametrize(
        ("answer", "kind"),
        [
            (400, OddAnswer),
            (405, OddAnswer),
            (410, OddAnswer),
            (422, OddAnswer),
            (301, OddAnswer),
            (b"<html>", OddAnswer),
            (b"1" * (1024 * 1024 + 1), OddAnswer),
            (401, InTrouble),
            (403, InTrouble),
            (429, SourceError),
            (500, InTrouble),
            (503, InTrouble),
            (None, SourceError),
        ],
    )
    def test_says_what_is_wrong_with_an_answer_and_whether_with_all_and_follows_no_redirect(
        self, type_, answer, kind, system
    ):
        adapter = made(type_, system.url)
        adapter.status(IDS[type_.provider])
        everything(system, answer)
        with pytest.raises(SourceError) as error:
            adapter.status(IDS[type_.provider])
        assert error.type is kind
        assert not [path for path, _ in system.asked if path == "/elsewhere"]

    def test_of_what_is_not_there_it_knows_nothing(self, type_, system):
        assert made(type_, system.url).status(IDS[type_.provider]).standing is Standing.UNKNOWN

    def test_a_source_that_is_not_there_is_an_error(self, type_):
        with pytest.raises(SourceError, match="does not respond"):
            made(type_, "http://127.0.0.1:1").status(IDS[type_.provider])

    @pytest.mark.parametrize(
        "url", ["http://there.example", "ftp://x", "https://u:p@there.example", "https://"]
    )
    def test_a_token_goes_over_https_alone(self, type_, url):
        with pytest.raises(ValidationError):
            made(type_, url)

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"x-pagerduty-signature": "v1=é"},
            {"x-hub-signature-256": "sha256="},
            {"x-gitlab-token": ""},
            {"webhook-signature": "v1,"},
        ],
    )
    def test_what_is_not_signed_is_refused(self, type_, headers):
        for secrets in ([], [WHSEC]):
            with pytest.raises(DeliveryRefused):
                made(type_).verify_webhook(headers, b"{}", secrets, NOW)

    @pytest.mark.parametrize(
        "body",
        [
            b"[]",
            b"{}",
            b"1",
            b'{"event": []}',
            b'{"workflow_job": 1}',
            b'{"data": {"id": {}}}',
            b'{"object_kind": "build"}',
            b'{"object_kind": "pipeline", "builds": 3}',
        ],
    )
    def test_what_is_not_known_says_nothing(self, type_, body):
        assert made(type_).parse(body) == []


def open_pages(asked, own="") -> dict[str, object]:
    """What each provider answers about open work when it is asked by some id: with its own, or another."""
    job = {"id": 77 if own == "" else own, "run_id": 9001, "run_attempt": 1}
    incident = pagerduty_incident(IDS["pagerduty"] if own == "" else own)
    return {
        f"/incidents/{asked}?include[]=assignees&include[]=first_trigger_log_entries": incident,
        f"/incidents/{incident['incident']['id']}/log_entries?limit=100&offset=0": {
            "log_entries": [],
            "more": False,
        },
        "/oncalls?escalation_policy_ids[]=PANZZEQ&include[]=users&limit=100": pagerduty_on_call(),
        "/repositories/42/actions/jobs/77": {**job, "status": "in_progress"},
        "/repositories/42/actions/runs/9001": {"id": 9001},
        "/api/v4/projects/5/jobs/77": {**job, "status": "running"},
        f"/api/{asked}": {"id": IDS["standard"] if own == "" else own, "status": "open"},
    }


def everything(system, answer):
    """Let every path that was asked for answer this."""
    for path, _ in system.asked:
        system.pages[path] = answer


@pytest.mark.parametrize(
    ("type_", "padded"),
    [
        (GH, "042:9001:1:77"),
        (GH, "42:09001:1:77"),
        (GH, "42:9001:01:77"),
        (GH, "42:9001:1:077"),
        (GL, "05:77"),
        (GL, "5:077"),
    ],
)
def test_a_number_with_leading_zeros_is_no_id(type_, padded, system):
    with pytest.raises(NotAnId, match="leading zeros"):
        made(type_, system.url).status(padded)
    assert system.asked == []


def test_an_open_incident_of_pagerduty_with_who_is_on_call(system):
    tell_pagerduty(system, "Q1ABCDEF2GHIJK", "acknowledged", ("alice@example.com", "Bob@example.com"))
    status = made(PD, system.url).status("Q1ABCDEF2GHIJK")
    assert (status.standing, status.title, status.severity) == (Standing.OPEN, "Checkout is slow", "P1")
    assert status.assigned == ("alice@example.com",)
    assert status.on_call == ("alice@example.com", "bob@example.com")
    assert status.services == ("PIJ90N7", "Checkout")
    assert status.values["service"] == "Checkout"
    assert system.asked[0][1]["authorization"] == "Token token=t0ken"


SELF, ALICE = {"PAL0001": "alice@example.com"}, ("alice@example.com",)


def by_service() -> dict[str, object]:
    return {"first_trigger_log_entry": pagerduty_entry("trigger", "PSHOP01")}


@pytest.mark.parametrize(
    ("log", "more", "opened_by", "changed_by"),
    [
        # Names can be edited there, so nobody is told by theirs.
        ((), {}, ("bob@example.com",), ()),
        ((), by_service(), ("pshop01",), ()),
        ((), {"first_trigger_log_entry": None}, (), ()),
        ((), {"first_trigger_log_entry": pagerduty_entry("trigger", "PGONE01")}, ("pgone01",), ()),
        *[
            ((pagerduty_entry(kind, "PAL0001"),), {}, ("bob@example.com",), ALICE)
            for kind in (
                "assign",
                "escalate",
                "delegate",
                "urgency_change",
                "priority_change",
                "anything_new",
            )
        ],
        # Whoever was assigned to it may acknowledge it; anyone else takes it by that.
        ((pagerduty_entry("acknowledge", "PAL0001"),), {}, ("bob@example.com",), ALICE),
        (
            (
                pagerduty_entry("acknowledge", "PAL0001"),
                pagerduty_entry("assign", "PSHOP01", assignees=[{"id": "PAL0001"}]),
            ),
            {},
            ("bob@example.com",),
            (),
        ),
        ((pagerduty_entry("annotate", "PAL0001"),), {}, ("bob@example.com",), ()),
        # The last of its kind counts, wherever it is in the log.
        (
            (
                pagerduty_entry("assign", "PAL0001", "2026-11-10T02:00:00+02:00"),
                pagerduty_entry("assign", "PBOB001"),
            ),
            {},
            ("bob@example.com",),
            ("bob@example.com",),
        ),
        (
            (*[pagerduty_entry("annotate", "PAL0001")] * 150, pagerduty_entry("assign", "PAL0001")),
            {},
            ("bob@example.com",),
            ALICE,
        ),
        ((pagerduty_entry("annotate", "PAL0001"),) * 501, {}, ("bob@example.com",), None),
    ],
)
def test_who_opened_an_incident_of_pagerduty_and_last_changed_it(system, log, more, opened_by, changed_by):
    tell_pagerduty(system, "Q1ABCDEF2GHIJK", log=log, users=SELF, **more)
    status = made(PD, system.url).status("Q1ABCDEF2GHIJK")
    assert (status.opened_by, status.changed_by) == (opened_by, changed_by)


def test_a_resolved_incident_of_pagerduty_is_closed(system):
    tell_pagerduty(system, "Q1ABCDEF2GHIJK", "resolved")
    assert made(PD, system.url).status("Q1ABCDEF2GHIJK").standing is Standing.CLOSED


def test_pagerduty_signs_the_raw_body_with_each_of_its_secrets():
    body = b'{"event":{"id":"01ABC","event_type":"incident.resolved"}}'
    header = "v1=6b65ce4626162503fd4cf8097c182a19da5a6c97f10ab13b0e7103adde10dabc"
    for given in (header, "v1=00," + header, f"{header}, v1=11"):
        proven = made(PD).verify_webhook({"x-pagerduty-signature": given}, body, ["other", "pd-secret"], NOW)
        assert proven.event == "incident.resolved"
    with pytest.raises(DeliveryRefused):
        made(PD).verify_webhook({"x-pagerduty-signature": header}, body + b" ", ["pd-secret"], NOW)


@pytest.mark.parametrize(
    ("kind", "status", "hints"),
    [
        ("incident.resolved", "resolved", [Hint(outside_id="Q1ABC", closed=True)]),
        ("incident.reopened", "triggered", [Hint(outside_id="Q1ABC", closed=False)]),
        ("incident.priority_updated", "resolved", [Hint(outside_id="Q1ABC", closed=True)]),
        ("pagey.ping", "", []),
    ],
)
def test_what_pagerduty_tells(kind, status, hints):
    assert made(PD).parse(pagerduty_event("Q1ABC", kind, status)) == hints


def test_a_running_job_of_github_with_its_release(system):
    job = {
        "id": 77,
        "run_id": 9001,
        "run_attempt": 1,
        "status": "in_progress",
        "name": "deploy",
        "html_url": "https://github.example/j",
    }
    run = {
        "id": 9001,
        "head_branch": "v2.4.1",
        "head_sha": "c" * 40,
        "event": "release",
        "path": ".github/workflows/d.yml",
        "display_title": "Release 2.4.1",
        "repository": {"id": 42, "full_name": "acme/shop"},
    }
    system.pages |= {"/repositories/42/actions/jobs/77": job, "/repositories/42/actions/runs/9001": run}
    status = made(GH, system.url).status("42:9001:1:77")
    assert status.standing is Standing.OPEN
    assert (status.values["release"], status.values["commit"], status.values["job"]) == (
        "v2.4.1",
        "c" * 40,
        "deploy",
    )
    assert system.asked[0][1]["authorization"] == "Bearer t0ken"
    system.pages["/repositories/42/actions/runs/9001"] = {**run, "event": "push"}
    assert "release" not in made(GH, system.url).status("42:9001:1:77").values, "a branch is none"
    # A re-run is other work, and a job that waits is none yet.
    assert made(GH, system.url).status("42:9001:2:77").standing is Standing.UNKNOWN
    system.pages["/repositories/42/actions/jobs/77"] = {**job, "status": "queued"}
    assert made(GH, system.url).status("42:9001:1:77").standing is Standing.UNKNOWN
    system.pages["/repositories/42/actions/jobs/77"] = {
        **job,
        "status": "completed",
        "conclusion": "cancelled",
    }
    assert made(GH, system.url).status("42:9001:1:77").standing is Standing.CLOSED


@pytest.mark.parametrize(
    ("run", "opened_by"),
    [
        ({"actor": {"login": "Mara"}, "triggering_actor": {"login": "noah"}}, ("mara", "noah")),
        ({"actor": {"login": "mara"}, "triggering_actor": {"login": "mara"}}, ("mara",)),
        ({"actor": None, "triggering_actor": {"login": "mara"}}, ()),
        ({"actor": {"login": "mara"}}, ()),
    ],
)
def test_a_job_of_github_was_opened_by_who_started_the_run_and_who_ran_it_again(system, run, opened_by):
    system.pages |= open_pages("")
    system.pages["/repositories/42/actions/runs/9001"] = {"id": 9001, **run}
    status = made(GH, system.url).status("42:9001:1:77")
    assert (status.opened_by, status.changed_by) == (opened_by, ())


def test_a_job_of_gitlab_was_opened_by_its_user(system):
    system.pages |= open_pages("")
    assert made(GL, system.url).status("5:77").opened_by == ()
    system.pages["/api/v4/projects/5/jobs/77"]["user"] = {"id": 1, "username": "Mara", "name": "noah"}
    status = made(GL, system.url).status("5:77")
    assert (status.opened_by, status.changed_by) == (("mara",), ())


@pytest.mark.parametrize(
    ("said", "opened_by", "changed_by"),
    [
        ({}, (), None),
        ({"opened_by": "Mara@example.com", "changed_by": []}, ("mara@example.com",), ()),
        ({"opened_by": ["mara"], "changed_by": "mara"}, (), None),
        ({"changed_by": ["Mara", "noah"]}, (), ("mara", "noah")),
        ({"changed_by": ["mara", None]}, (), None),
        ({"changed_by": ["mara"] * 101}, (), None),
    ],
)
def test_another_system_says_who_opened_and_changed_its_work_in_a_field_of_each(
    system, said, opened_by, changed_by
):
    system.pages[f"/api/{IDS['standard']}"] = {"id": IDS["standard"], "status": "open", **said}
    status = made(STD, system.url).status(IDS["standard"])
    assert (status.opened_by, status.changed_by) == (opened_by, changed_by)


def test_github_signs_the_raw_body():
    given = {"x-hub-signature-256": "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"}
    made(GH).verify_webhook(given, b"Hello, World!", ["It's a Secret to Everybody"], NOW)
    with pytest.raises(DeliveryRefused):
        made(GH).verify_webhook(given, b"Hello, World?", ["It's a Secret to Everybody"], NOW)


RUN = {"id": 9001, "run_attempt": 1}
WHOLE = Hint(outside_id="42:9001:1", closed=True, whole=True)
ONE = Hint(outside_id="42:9001:1:77", closed=True)


@pytest.mark.parametrize(
    ("said", "hints"),
    [
        ({"action": "completed", "workflow_job": {"id": 77, "run_id": 9001, "run_attempt": 1}}, [ONE]),
        (
            {"action": "in_progress", "workflow_job": {"id": 77, "run_id": 9001, "run_attempt": 1}},
            [Hint(outside_id="42:9001:1:77", closed=False)],
        ),
        ({"action": "completed", "workflow_run": RUN}, [WHOLE]),
        (
            {
                "action": "created",
                "deployment_status": {"state": "failure"},
                "workflow_run": RUN,
                "check_run": {"id": 77},
            },
            [ONE],
        ),
        (
            {
                "action": "created",
                "deployment_status": {"state": "success"},
                "workflow_run": RUN,
                "check_run": None,
            },
            [WHOLE],
        ),
        (
            {
                "action": "created",
                "deployment_status": {"state": "in_progress"},
                "workflow_run": RUN,
                "check_run": {"id": 77},
            },
            [Hint(outside_id="42:9001:1:77", closed=False)],
        ),
        ({"action": "created", "deployment_status": {"state": "success"}}, []),
        ({"action": "opened", "issue": {"id": 1}}, []),
    ],
)
def test_what_github_tells(said, hints):
    body = json.dumps({**said, "repository": {"id": 42}}).encode()
    headers = lower(signed_by_github("s", body, "workflow_job"))
    assert made(GH).verify_webhook(headers, body, ["s"], NOW).event == "workflow_job"
    assert made(GH).parse(body) == hints


def test_a_running_job_of_gitlab_with_its_tag(system):
    job = {
        "id": 77,
        "status": "running",
        "name": "deploy",
        "stage": "deploy",
        "ref": "v2.4.1",
        "tag": True,
        "commit": {"id": "c" * 40},
        "pipeline": {"id": 6},
        "web_url": "https://gitlab.example/j",
    }
    system.pages["/api/v4/projects/5/jobs/77"] = job
    status = made(GL, system.url).status("5:77")
    assert (status.standing, status.values["release"], status.values["commit"]) == (
        Standing.OPEN,
        "v2.4.1",
        "c" * 40,
    )
    assert system.asked[0][1]["private-token"] == "t0ken"
    system.pages["/api/v4/projects/5/jobs/77"] = {**job, "tag": False}
    assert "release" not in made(GL, system.url).status("5:77").values
    for over in ("success", "failed", "canceled", "skipped"):
        system.pages["/api/v4/projects/5/jobs/77"] = {**job, "status": over}
        assert made(GL, system.url).status("5:77").standing is Standing.CLOSED
    system.pages["/api/v4/projects/5/jobs/77"] = {**job, "status": "pending"}
    assert made(GL, system.url).status("5:77").standing is Standing.UNKNOWN


def test_gitlab_brings_its_secret_or_signs():
    body = b'{"object_kind": "build"}'
    assert made(GL).verify_webhook({"x-gitlab-token": "plain"}, body, ["old", "plain"], NOW)
    signed = lower(signed_by_standard(WHSEC, body, int(NOW.timestamp())))
    assert made(GL).verify_webhook(signed, body, ["plain", WHSEC], NOW).key == "msg_1"
    for given in (
        {"x-gitlab-token": "other"},
        {"x-gitlab-token": WHSEC},
        {**signed, "webhook-signature": "v1,AAAA", "x-gitlab-token": "plain"},
    ):
        with pytest.raises(DeliveryRefused):
            made(GL).verify_webhook(given, body, ["plain", WHSEC], NOW)


@pytest.mark.parametrize(
    ("said", "hints"),
    [
        (
            {"object_kind": "build", "build_id": 77, "build_status": "failed", "project_id": 5},
            [Hint(outside_id="5:77", closed=True)],
        ),
        (
            {"object_kind": "build", "build_id": 77, "build_status": "running", "project_id": 5},
            [Hint(outside_id="5:77", closed=False)],
        ),
        (
            {
                "object_kind": "pipeline",
                "object_attributes": {"id": 6, "status": "canceled"},
                "project": {"id": 5},
                "builds": [{"id": 77}, {"id": 78}],
            },
            [Hint(outside_id="5:77", closed=True), Hint(outside_id="5:78", closed=True)],
        ),
        (
            {
                "object_kind": "pipeline",
                "object_attributes": {"id": 6, "status": "running"},
                "project": {"id": 5},
                "builds": [{"id": 77}],
            },
            [],
        ),
        ({"object_kind": "push"}, []),
    ],
)
def test_what_gitlab_tells(said, hints):
    assert made(GL).parse(json.dumps(said).encode()) == hints


def test_work_of_any_system_is_read_where_its_document_says(system):
    system.pages["/api/T-17"] = {
        "result": [
            {
                "key": "T-17",
                "state": {"name": "Implement"},
                "title": "Refund",
                "severity": "P2",
                "assignees": ["Alice@example.com"],
                "service": "shop",
                "starts_at": "2026-11-25T12:00:00Z",
                "ends_at": "2026-11-25T14:00:00+00:00",
                "facts": {"order": 17, "Bad Name": "x", "flag": True},
            }
        ]
    }
    adapter = made(
        STD, system.url, root="result.0", id="key", status="state.name", open=["Implement"], kind="change"
    )
    status = adapter.status("T-17")
    assert (status.standing, status.kind, status.severity) == (Standing.OPEN, "change", "P2")
    assert status.outside_id == "T-17"
    assert status.assigned == ("alice@example.com",)
    assert status.values == {"order": "17", "service": "shop"}
    assert status.ends_at - status.starts_at == dt.timedelta(hours=2)
    system.pages["/api/T-17"] = {"result": [{"state": {"name": "Frobnicated"}}]}
    assert adapter.status("T-17").standing is Standing.UNKNOWN
    system.pages["/api/T-17"] = {"result": [{"state": {"name": "closed"}}]}
    assert adapter.status("T-17").standing is Standing.CLOSED


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("9999-12-31T23:59:59-05:00", LATEST),
        ("9999-12-31T23:59:59Z", LATEST),
        ("2101-01-01T00:00:00Z", LATEST),
        ("0001-01-01T00:00:00+05:00", EARLIEST),
        ("0001-01-01T00:00:00Z", EARLIEST),
        ("2026-11-25T14:00:00+02:00", NOW),
        ("2026-11-25T14:00:00", None),
        (20261125, None),
    ],
)
def test_a_time_that_is_further_off_than_anybody_plans_is_the_furthest_there_is(said, meant):
    assert moment_of(said) == meant


def test_standard_webhooks_are_signed_over_id_time_and_body():
    body = b'{"test": 2432232314}'
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1a,xx v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    sent = dt.datetime.fromtimestamp(1614265330, dt.UTC)
    assert made(STD).verify_webhook(headers, body, [WHSEC], sent).key == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    for wrong in (
        {"webhook-id": "msg_other"},
        {"webhook-timestamp": "1614265331"},
        {"webhook-timestamp": "-1"},
    ):
        with pytest.raises(DeliveryRefused):
            made(STD).verify_webhook({**headers, **wrong}, body, [WHSEC], sent)
    for late in (301, -301):
        with pytest.raises(DeliveryRefused, match="five minutes"):
            made(STD).verify_webhook(headers, body, [WHSEC], sent + dt.timedelta(seconds=late))


@pytest.mark.parametrize(("status", "closed"), [("resolved", True), ("open", False), ("whatever", False)])
def test_what_any_system_tells(status, closed):
    body = json.dumps({"type": "ticket.changed", "data": {"id": "T-17", "status": status}}).encode()
    assert made(STD).parse(body) == [Hint(outside_id="T-17", closed=closed)]
