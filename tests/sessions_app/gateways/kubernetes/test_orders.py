"""Commands started on a grant's page: decided, recorded, held and cut like those from kubectl."""

import asyncio
import contextlib
import datetime as dt
import functools
import json
import os
import resource
import signal
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from broker.audit.models import AuditEntry
from broker.kernel import clock
from broker.kernel.errors import InvalidInput
from sessions_app.gateways.core.body_budget import BodiesTooLarge, BodyBudget
from sessions_app.gateways.core.recording import Recorder
from sessions_app.gateways.kubernetes.bodies import JSON, Body
from sessions_app.gateways.kubernetes.ordered import OneRequest
from sessions_app.gateways.kubernetes.printing import MOST, printed
from sessions_app.gateways.kubernetes.upstream import Upstream
from sessions_app.models import CommandOrder, CommandRun
from sessions_app.operations.sessions.decide_hold import decide_hold
from sessions_app.operations.sessions.order_command import order_command
from sessions_app.policy.commands.kubernetes.sending import sending_of
from sessions_app.queries.record.recording_files import Room as Kept
from tests.sessions_app.gateways.kubernetes.test_requests import image, revision
from tests.sessions_app.gateways.kubernetes.test_standing import WEB, containers, meanwhile, with_containers
from tests.sessions_app.gateways.kubernetes.test_streams import LIMIT, in_container, revoke
from tests.support.servers.gateway import new_tag, tagged
from tests.support.servers.kubernetes.server import Fault
from tests.support.servers.kubernetes_place import DEPLOYMENT
from tests.support.waits import eventually
from tests.support.world.acts import last

BROWSER = "203.0.113.7"
PODS, WATCH, LOGS, SCALE, IMAGE, RESTART, EXEC, FINISH, COUNT = range(9)
SET_IMAGE, UNDO, UNDO_CART = range(3)
RELEASE = {"command_set": "release-shop", "parameters": {"image": "shop/web:1.4"}}


def order(
    place, grant, index: int, *, who: str = "alice", target: str = "prod-1", **values: str
) -> CommandOrder:
    return order_command(
        grant_id=grant.pk,
        actor=getattr(place.world, who),
        target=target,
        index=index,
        values=values,
        client_address=BROWSER,
        now=clock.now(),
    )


def run_of(asked: CommandOrder, *states: str, within: float = 20) -> CommandRun:
    """Return the run of an order, once it is in one of the states."""

    def arrived() -> bool:
        asked.refresh_from_db()
        assert not asked.error, asked.error
        return asked.run is not None and (not states or asked.run.state in states)

    eventually(arrived, within=within)
    return asked.run


def program(place, grant, kind: str, tag: int) -> CommandOrder:
    return order(place, grant, EXEC, pod="web-1", kind=kind, tag=str(tag))


def shown(place, run: CommandRun) -> str:
    """Return the recorded output of a run."""
    path = place.folder / "state" / "recordings" / run.recording
    lines = path.read_text(encoding="utf-8").splitlines()[1:]
    return "".join(json.loads(line)[2] for line in lines)


@contextlib.contextmanager
def running(place, grant, kind: str) -> Iterator[tuple[CommandOrder, int]]:
    """Yield an order whose command is seen to run in the container, and its tag."""
    tag = new_tag()
    asked = program(place, grant, kind, tag)
    try:
        eventually(lambda: in_container(tag), within=30)
        yield asked, tag
    finally:
        for pid in tagged(tag):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def deployment(place):
    return place.cluster.call("GET", "/apis/apps/v1/namespaces/shop/deployments/web")[1]


# Programs in containers


def test_it_runs_and_its_output_is_in_the_recording(place):
    grant = place.grant()
    run = run_of(program(place, grant, "both", 0), "done")
    assert (run.line, run.exit_status, run.target.name) == (
        "exec web-1 -n shop -c app -- test both 0",
        0,
        "prod-1",
    )
    assert sorted(shown(place, run).split()) == ["err", "out"]
    assert run.recording_digest
    eventually(lambda: grant.sessions.get().closed_at)
    assert (grant.sessions.get().client_address, grant.sessions.get().proof) == (BROWSER, "page")
    allowed = last("command.allowed", grant.ref)
    assert (allowed.actor, allowed.data["from"]) == ("alice", BROWSER)


def test_an_exit_status_is_kept_and_there_is_no_input(place):
    grant = place.grant()
    assert run_of(program(place, grant, "status", 7), "done").exit_status == 7
    assert shown(place, run_of(order(place, grant, COUNT), "done")).strip() == "0"


def test_a_revoke_leaves_no_process(place):
    grant = place.grant()
    with running(place, grant, "daemon") as (asked, tag):
        revoke(grant)
        eventually(lambda: not in_container(tag), within=LIMIT)
        run = run_of(asked, "cut")
        assert run.reason.startswith("revoked")
        assert "terminated" in run.reason
    eventually(lambda: grant.sessions.get().closed_at)


def test_a_command_that_may_finish_goes_on_past_the_end_of_its_grant(place):
    grant = place.grant()
    asked = order(place, grant, FINISH, tag="4")
    run_of(asked, "running")
    time.sleep(1)
    revoke(grant, cut=False)
    assert run_of(asked, "done", "cut", "failed").state == "done"


# Single requests


def test_one_request_is_sent_with_the_grants_own_account_and_recorded_as_a_request(place):
    grant = place.grant()
    run = run_of(order(place, grant, SCALE, n="3"), "done")
    assert run.line == "scale deployment/web -n shop --replicas 3"
    assert deployment(place)["spec"]["replicas"] == 3
    assert "scale/web changed" in shown(place, run) or "deployment/web changed" in shown(place, run)
    entry = last("command.finished", grant.ref)
    assert (entry.data["exchanged"]["status"], len(entry.data["exchanged"]["body_sha256"])) == (200, 64)


def test_a_followed_log_is_cut_at_the_end(place):
    grant = place.grant()
    asked = order(place, grant, LOGS, pod="web-1")
    run = run_of(asked, "running")
    path = place.folder / "state" / "recordings" / grant.ref / f"{run.pk}.cast"
    eventually(lambda: path.exists() and path.stat().st_size > 300, within=5)
    revoke(grant)
    assert run_of(asked, "cut", within=LIMIT).reason == "revoked"


def test_a_followed_log_that_can_not_be_recorded_any_longer_is_cut(place):
    grant = place.grant()
    asked = order(place, grant, LOGS, pod="web-1")
    run = run_of(asked, "running")
    path = place.folder / "state" / "recordings" / grant.ref / f"{run.pk}.cast"
    eventually(lambda: path.exists() and path.stat().st_size > 300, within=5)
    _, most = resource.prlimit(place.gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(place.gateway.pid, resource.RLIMIT_FSIZE, (1, most))
    try:
        run = run_of(asked, "cut", "done", "failed")
    finally:
        resource.prlimit(place.gateway.pid, resource.RLIMIT_FSIZE, (most, most))
    assert (run.state, run.reason) == ("cut", "the output can't be recorded: File too large")


def test_nothing_is_sent_whose_recording_can_not_be_begun_and_the_run_says_why(place):
    grant = place.grant()
    folder = place.folder / "state" / "recordings" / grant.ref
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.touch()
    with place.server.counted() as calls:
        run = run_of(order(place, grant, SCALE, n="4"), "failed")
    assert run.reason == "the output can't be recorded: File exists"
    assert [call for call in calls if call.method == "PATCH"] == []


def test_an_undo_puts_the_revision_before_back_and_without_one_nothing_is_sent(place):
    run = run_of(order(place, place.grant(**RELEASE), UNDO), "failed")
    assert run.reason == "there is no previous revision"
    revision(place, 1, "shop/web:1.2")
    revision(place, 2, "shop/web:1.3")
    run = run_of(order(place, place.grant(**RELEASE), UNDO), "done")
    assert run.line == "rollout undo deployment/web -n shop --to-revision 1"
    assert "deployment/web changed" in shown(place, run)
    assert image(place) == "shop/web:1.2"


CART = "/apis/apps/v1/namespaces/shop/deployments/cart"


@pytest.fixture
def cart(place) -> Iterator[None]:
    """A deployment with two revisions, whose rollback needs another person's approval."""
    made = json.loads(json.dumps(DEPLOYMENT))
    made["metadata"]["name"] = "cart"
    place.cluster.call("POST", CART.removesuffix("/cart"), made)
    revision(place, 1, "shop/web:1.1", of="cart")
    revision(place, 2, "shop/web:1.2", of="cart")
    yield
    for number in (1, 2, 3):
        place.cluster.call("DELETE", f"{CART.replace('deployments', 'replicasets')}-{number}")
    place.cluster.call("DELETE", CART)


def image_of_cart(place) -> str:
    return place.cluster.call("GET", CART)[1]["spec"]["template"]["spec"]["containers"][0]["image"]


@pytest.mark.usefixtures("cart")
def test_who_allows_an_undo_reads_which_revision_it_puts_back(place):
    run = run_of(order(place, place.grant(**RELEASE), UNDO_CART), "held")
    assert run.line == "rollout undo deployment/cart -n shop --to-revision 1"
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=clock.now())
    eventually(lambda: run.refresh_from_db() or run.state in ("done", "failed"))
    assert (run.state, image_of_cart(place)) == ("done", "shop/web:1.1"), run.reason


@pytest.mark.usefixtures("cart")
def test_an_undo_that_was_allowed_puts_no_other_revision_back(place):
    run = run_of(order(place, place.grant(**RELEASE), UNDO_CART), "held")
    revision(place, 3, "shop/web:1.3", of="cart")
    before = image_of_cart(place)
    decide_hold(run_id=run.pk, actor=place.world.bob, allow=True, now=clock.now())
    eventually(lambda: run.refresh_from_db() or run.state in ("done", "failed"))
    assert (run.state, run.reason) == ("failed", "The object has been modified since. Try again.")
    assert image_of_cart(place) == before


def test_nobody_is_asked_to_allow_an_undo_that_puts_nothing_back(place):
    grant = place.grant(**RELEASE)
    run = run_of(order(place, grant, UNDO_CART), "failed", "held")
    assert (run.state, run.line) == ("failed", "rollout undo deployment/cart -n shop")
    assert not AuditEntry.objects.filter(event="command.held", object_ref=grant.ref).exists()


# The cluster's objects


@pytest.fixture
def deployed(place) -> Iterator[None]:
    """The deployment in its initial state, before and after a test that changes it."""
    place.cluster.call("PUT", WEB, DEPLOYMENT)
    yield
    place.cluster.call("PUT", WEB, DEPLOYMENT)


def with_only(place, name: str) -> None:
    place.cluster.call("PUT", WEB, with_containers(name))


@pytest.mark.usefixtures("deployed")
def test_a_container_that_goes_away_meanwhile_is_not_added_again_by_an_order(place):
    with meanwhile(place, "PATCH", lambda: with_only(place, "api")) as done:
        run = run_of(order(place, place.grant(**RELEASE), SET_IMAGE), "failed")
    assert (bool(done), "The request is no longer allowed" in run.reason) == (True, True)
    assert [one["name"] for one in containers(place)] == ["api"]


@pytest.mark.usefixtures("deployed")
def test_a_change_of_something_else_meanwhile_does_not_hinder_an_order(place):
    act = functools.partial(place.cluster.call, "PUT", WEB, with_containers("app", "side"))
    with meanwhile(place, "PATCH", act, times=2) as done:
        run_of(order(place, place.grant(**RELEASE), SET_IMAGE), "done")
    assert (len(done), [one["image"] for one in containers(place)]) == (2, ["shop/web:1.4", "shop/web:1.3"])


def test_what_a_cluster_does_not_tell_is_why_nothing_was_sent(place):
    grant = place.grant(**RELEASE)
    place.server.faults.append(Fault("GET", "/apis/apps", 500))
    try:
        run = run_of(order(place, grant, SET_IMAGE), "failed")
    finally:
        place.server.faults.clear()
    assert "could not be read: the API server returned 500" in run.reason


# Orders that never run


def test_a_command_that_kubectl_alone_can_run_takes_no_order(place):
    with pytest.raises(InvalidInput):
        order(place, place.grant(), WATCH)


# Printed responses

TABLE = {
    "kind": "Table",
    "apiVersion": "meta.k8s.io/v1",
    "columnDefinitions": [
        {"name": "Name", "type": "string", "priority": 0},
        {"name": "Ready", "type": "string", "priority": 0},
        {"name": "Node", "type": "string", "priority": 1},
        {"name": "Age", "type": "string", "priority": 0},
    ],
    "rows": [
        {"cells": ["web-1", "1/1", "node-1", "5d"]},
        {"cells": ["web-long-name", "0/1", "node-2", None]},
    ],
}


@pytest.mark.parametrize(
    ("said", "method", "text"),
    [
        (
            TABLE,
            "GET",
            "NAME            READY   AGE\nweb-1           1/1     5d\nweb-long-name   0/1     <none>",
        ),
        ({**TABLE, "rows": []}, "GET", "No resources found."),
        (
            {"kind": "Status", "status": "Failure", "message": 'pods "x" not found'},
            "GET",
            'pods "x" not found',
        ),
        (
            {"kind": "Status", "status": "Success", "details": {"name": "web-1", "kind": "pods"}},
            "DELETE",
            "pods/web-1 deleted",
        ),
        ({"kind": "Pod", "metadata": {"name": "web-1"}}, "DELETE", "pod/web-1 deleted"),
        ({"kind": "Scale", "metadata": {"name": "web"}}, "PATCH", "scale/web changed"),
        ([1], "GET", "The API server returned no object."),
        (
            {"kind": "SecretList", "items": [{"metadata": {"name": "a"}, "data": {"k": "c2VjcmV0"}}]},
            "GET",
            "secret/a",
        ),
        ({"kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "c2VjcmV0"}}, "GET", "secret/a"),
        ({"kind": "PodList", "items": []}, "GET", "No resources found."),
    ],
)
def test_an_answer_is_printed_as_a_person_reads_it(said, method, text):
    assert printed(json.dumps(said).encode(), JSON, method).decode() == f"{text}\n"


@pytest.mark.parametrize("media", [JSON, "application/octet-stream", ""])
def test_an_answer_that_is_no_json_is_printed_only_if_it_says_that_it_is_text(media):
    assert printed(b"oh no \xff", "text/plain", "GET") == "oh no \ufffd\n".encode()
    secret = b'{"kind": "Secret", "data": {"k": "c2VjcmV0"}'
    assert printed(secret, media, "GET") == b"The API server returned no object.\n"


def test_a_wide_cell_is_cut_off_and_no_row_is_padded_to_it():
    rows = [
        {"cells": ["x" * 100_000, "1/1", "", "5d"]},
        *({"cells": ["a", "1/1", "", "5d"]} for _ in range(999)),
    ]
    wide, *others = (
        printed(json.dumps({**TABLE, "rows": rows}).encode(), JSON, "GET").decode().splitlines()[1:]
    )
    assert wide == f"{'x' * 255}…   1/1     5d"
    assert {len(line) for line in others} == {len(wide)}


LONG = "x" * 1_000_000


@pytest.mark.parametrize(
    "said",
    [
        {**TABLE, "rows": [{"cells": ["x" * 300, "1/1", "", "5d"]}] * 20_000},
        {**TABLE, "columnDefinitions": [{}] * 20_000, "rows": [{}] * 20_000},
        {"kind": f"{LONG}List", "items": [{"metadata": {"name": "a"}}] * 10_000},
        {"kind": "PodList", "items": [{"kind": LONG, "metadata": {"name": LONG}}] * 3},
        {"kind": "PodList", "items": [{"metadata": {"name": "x" * 200}}] * 25_000},
    ],
)
def test_however_an_answer_is_made_what_is_printed_of_it_is_bounded(said):
    assert len(printed(json.dumps(said).encode(), JSON, "GET").decode()) < MOST + 100


def test_an_answer_that_no_text_can_have_is_printed_all_the_same():
    assert printed(rb'{"kind": "Pod", "metadata": {"name": "\ud800"}}', JSON, "GET") == b"pod/?\n"
    assert printed(b"[" * 100_000, JSON, "GET") == b"The API server returned no object.\n"


def test_a_request_for_whose_answer_there_is_no_room_is_not_sent(tmp_path):
    room, use, at = (
        BodyBudget(of_one=MOST),
        SimpleNamespace(grant_id=7),
        dt.datetime(2026, 11, 30, tzinfo=dt.UTC),
    )
    sending = sending_of("get pods -n web", at)
    recorder = Recorder(tmp_path, "x.cast", title="x", started=at, room=Kept(10_000, "it is full"))

    async def sent() -> object:
        upstream = Upstream()
        one = OneRequest(upstream, use, sending, "v1", Body(), recorder, agent="x", again=None, room=room)
        try:
            with room.taken(7, 1), pytest.raises(BodiesTooLarge, match="Too many large requests"):
                await one.run()
        finally:
            await upstream.close()
        return one.exchanged()

    assert asyncio.run(sent()) is None
