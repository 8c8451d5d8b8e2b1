"""Statements on the page of a grant, without a gateway: forms, rows, results and conversations."""

import csv
import io
import re
from pathlib import Path

import pytest

from broker.kernel.crypto import CannotDecrypt
from sessions_app.gateways.postgres import results, wire
from sessions_app.gateways.postgres.results import Result, write
from sessions_app.models import CommandOrder, CommandRun
from sessions_app.operations.grants.prepare_grant import prepare_grant
from sessions_app.operations.sessions.claim_order import claim_order
from sessions_app.operations.sessions.finish_run import finish_run
from sessions_app.operations.sessions.keep_conversation import keep_conversation
from sessions_app.operations.sessions.order_command import LAPSES, order_command
from sessions_app.operations.sessions.proofs.page import uses_from_page
from sessions_app.operations.sessions.purge_recordings import RESULTS_KEPT, purge_recordings
from sessions_app.operations.sessions.renew_gateway import renew_gateway
from sessions_app.queries.record.recording_files import Room
from tests.sessions_app.gateways.postgres.test_admission import ORDERS, SET, orders, started  # noqa: F401
from tests.support.servers.kubernetes_place import accepted
from tests.support.world import acts
from tests.support.world.reading import answered, read, says

UPDATE = "UPDATE app.orders SET status = 'paid' WHERE id = 7"
MORE = """\
  - select: {tables: [app.orders], columns: [id, status], where: required, limit: 50}
    effect: read
  - sql: UPDATE app.orders SET note = {note} WHERE id = {id}
    where: {id: {int: [1, 9]}, note: {pattern: "[a-z]{1,9}"}}
    secret: [note]
    effect: change
"""


@pytest.fixture
def grant(orders, settings, tmp_path):  # noqa: F811
    settings.RECORDINGS_DIR = tmp_path
    orders.apply({"command-sets/fix-orders.yaml": accepted(SET + MORE)})
    return started(orders)


def ran(world, grant, line: str = UPDATE, *, order_id: int | None = None, **ended) -> CommandRun:
    """A statement that the gateway ran, with how it ended."""
    (use,) = uses_from_page(
        holder_id=grant.holder_id, kind="postgres", target="db-1", grant_ref=grant.ref, now=world.now
    )
    session = acts.session(use, now=world.now)
    tried = acts.run(use, session, line, now=world.now, order_id=order_id)
    finish_run(run_id=tried.run_id, state="done", now=acts.after(world, seconds=2), **ended)
    return CommandRun.objects.get(pk=tried.run_id)


def result(columns: list[str], *rows: list[str | None]) -> Result:
    """What the gateway keeps of these rows, as the target sends them."""
    made = Result()
    made.take(
        wire.ROW_DESCRIPTION,
        len(columns).to_bytes(2, "big") + b"".join(wire.string(name) + bytes(18) for name in columns),
    )
    for row in rows:
        values = (
            b"\xff\xff\xff\xff" if value is None else len(value.encode()).to_bytes(4, "big") + value.encode()
            for value in row
        )
        made.take(wire.DATA_ROW, len(row).to_bytes(2, "big") + b"".join(values))
    return made


def with_result(world, grant, kept: Result, rows: int) -> CommandRun:
    """A statement that was started on the page, with this result."""
    order = order_command(
        grant_id=grant.pk,
        actor=grant.holder,
        target="db-1",
        index=0,
        values={"status": "paid", "id": "7"},
        now=world.now,
    )
    run = ran(world, grant, order_id=order.pk, rows=rows)
    made = write(kept, grant.ref, run.pk, "a result", world.now, Room(10**7, "all"))
    CommandRun.objects.filter(pk=run.pk).update(
        recording=made.path, recording_digest=made.digest, recording_bytes=made.file_bytes
    )
    run.refresh_from_db()
    return run


def page_of(client, grant, query: str = "") -> str:
    return read(client, f"/grants/{grant.ref}/{query}")


def test_every_statement_has_a_form(grant, as_alice):
    page = page_of(as_alice, grant)
    says(
        page,
        'name="v.0.status"',
        'name="v.0.id"',
        f"/grants/{grant.ref}/credential/",
        "note: recorded only as a digest",
    )
    assert page.count(f'action="/grants/{grant.ref}/run/"') == 3
    assert "Every attempted statement shows up here immediately" in page


def test_a_form_orders_the_statement_with_its_values(grant, as_alice):
    answer = as_alice.post(
        f"/grants/{grant.ref}/run/", {"index": 0, "target": "db-1", "v.0.status": "paid", "v.0.id": "7"}
    )
    assert answer.status_code == 302
    assert CommandOrder.objects.get().line == UPDATE


def ran_by_form(client, grant, index: int, **values: str):
    """The response to the form of a command, with these values by the names of their fields."""
    form = {f"v.{index}.{name}": value for name, value in values.items()}
    return client.post(f"/grants/{grant.ref}/run/", {"index": index, "target": "db-1", **form})


def test_a_form_composes_a_select_from_columns_conditions_order_and_limit(grant, as_alice):
    page = page_of(as_alice, grant)
    boxes = re.findall(r'<input type="checkbox" name="v\.1\.column\.([0-9])" value="on" checked', page)
    assert (boxes, page.count('name="v.1.table"')) == (["0", "1"], 0)
    assert re.search(r'name="v.1.limit" value="50" type="number"[^>]*max="50" required', page)
    chosen = {"column.1": "on", "where.0.column": "0", "where.0.operator": "IN", "where.0.value": "7, o'p"}
    more = {"where.2.column": "1", "where.2.operator": "LIKE", "where.2.value": "%a\\b%", "limit": "5"}
    order = {"order.column": "1", "order.direction": "DESC"}
    assert ran_by_form(as_alice, grant, 1, **chosen, **more, **order).status_code == 302
    assert CommandOrder.objects.get().line == (
        "SELECT status FROM app.orders WHERE id IN ('7', 'o''p') AND status LIKE E'%a\\\\b%'"
        " ORDER BY status DESC LIMIT 5"
    )


def test_a_field_that_can_not_be_used_has_its_error_and_the_form_keeps_its_choices(grant, as_alice):
    chosen = {"column.1": "on", "where.0.operator": "<", "where.0.value": "o'p <b>", "limit": "9"}
    page = answered(ran_by_form(as_alice, grant, 1, **chosen), 400)
    says(
        page,
        'id="wrong-v-1-where-0-column"',
        "Choose the column to compare with the value",
        "o&#x27;p &lt;b&gt;",
    )
    assert re.findall(r'name="v\.1\.column\.([0-9])" value="on" checked', page) == ["1"]
    assert not CommandOrder.objects.exists()


def test_a_select_without_a_condition_that_narrows_it_is_refused_and_recorded(grant, as_alice):
    chosen = {"column.0": "on", "where.0.column": "0", "where.0.operator": "IS NULL", "limit": "9"}
    page = answered(ran_by_form(as_alice, grant, 1, **chosen), 403)
    says(page, "it needs a WHERE that compares a column with a value", "<option selected>IS NULL</option>")
    assert CommandOrder.objects.get().line.startswith("SELECT id FROM app.orders WHERE id IS NULL LIMIT [")


SECRET = "hunters"


def test_a_secret_value_is_sealed_until_the_gateway_claims_it_and_is_nowhere_else(orders, grant, as_alice):  # noqa: F811
    page = page_of(as_alice, grant)
    assert re.search(r'name="v.2.secret.note" type="password" required autocomplete="off"', page)
    answer = ran_by_form(as_alice, grant, 2, **{"secret.note": SECRET, "id": "7"})
    assert SECRET not in answer["Location"]
    order = CommandOrder.objects.get()
    assert re.fullmatch(r"UPDATE .* SET note = \[secret, sha256:[0-9a-f]{32}\] WHERE id = 7", order.line)
    assert order.line in page_of(as_alice, grant).replace("&#x27;", "'")
    assert acts.last("command.ordered", grant.ref).data["line"] == order.line
    assert SECRET.encode() not in bytes(order.sealed_line)
    node = renew_gateway(name="gateway-1", version="1", now=orders.now).id
    claimed = claim_order(order_id=order.pk, gateway_id=node, now=orders.now)
    assert claimed.text() == f"UPDATE app.orders SET note = '{SECRET}' WHERE id = 7"
    assert SECRET not in repr(claimed)
    assert acts.fresh(order).sealed_line is None


@pytest.mark.parametrize(
    ("note", "number", "status"), [("HUNTERS", "7", 403), (SECRET, "77", 403), (f"{SECRET}\n", "7", 400)]
)
def test_a_refused_form_does_not_show_its_secret_again(grant, as_alice, note, number, status):
    page = answered(ran_by_form(as_alice, grant, 2, **{"secret.note": note, "id": number}), status)
    assert SECRET not in page.lower()
    assert f'value="{number}"' in page
    for order in CommandOrder.objects.all():
        assert SECRET not in f"{order.line}{acts.last('command.ordered', grant.ref).data}".lower()


def test_a_secret_of_an_order_that_no_gateway_claimed_is_deleted(grant, as_alice, tmp_path: Path):
    ran_by_form(as_alice, grant, 2, **{"secret.note": SECRET, "id": "7"})
    order = CommandOrder.objects.get()
    purge_recordings(folder=tmp_path, now=order.lapses_at - LAPSES)
    assert acts.fresh(order).sealed_line is not None
    purge_recordings(folder=tmp_path, now=order.lapses_at)
    assert acts.fresh(order).sealed_line is None


def test_a_sealed_line_is_readable_in_its_own_row_only(orders, grant, as_alice):  # noqa: F811
    for number in ("7", "8"):
        ran_by_form(as_alice, grant, 2, **{"secret.note": SECRET, "id": number})
    one, other = CommandOrder.objects.order_by("pk")
    CommandOrder.objects.filter(pk=other.pk).update(sealed_line=one.sealed_line)
    node = renew_gateway(name="gateway-1", version="1", now=orders.now).id
    claimed = claim_order(order_id=other.pk, gateway_id=node, now=orders.now)
    with pytest.raises(CannotDecrypt):
        claimed.text()


def test_a_set_of_privileges_has_no_form(orders, as_alice):  # noqa: F811
    grant = orders.grant(
        cluster="orders", command_set="read-orders", parameters={}, policy="order-support", targets=("db-1",)
    )
    prepare_grant(grant_id=grant.pk, now=lambda: orders.now)
    assert "/run/" not in page_of(as_alice, grant)


def test_rows_and_sizes_of_results_are_on_the_page_and_in_the_receipt(orders, grant, as_alice):  # noqa: F811
    ran(orders, grant, rows=2, output_bytes=48)
    says(page_of(as_alice, grant), UPDATE.replace("'", "&#x27;"), "Done", ": 2 rows, 48")
    (row,) = as_alice.get(f"/grants/{grant.ref}/receipt.json").json()["run"]
    assert (row["rows"], row["output_bytes"]) == (2, 48)


def test_a_result_is_a_table_and_a_file_and_each_view_is_recorded(orders, grant, as_alice):  # noqa: F811
    rows = [["1", "<b>=1+1</b>"], ["-2", None], ["3", "=1+1"], ["4", "a\nb"]]
    run = with_result(orders, grant, result(["id", "note"], *rows), 4)
    page = page_of(as_alice, grant, f"?open={run.pk}")
    says(page, '<th scope="col">note</th>', "<td>&lt;b&gt;=1+1&lt;/b&gt;</td>", ">NULL<", "?as=csv")
    assert "The first" not in page
    assert acts.last("recording.watched", grant.ref).data["run"] == run.pk
    answer = as_alice.get(f"/grants/{grant.ref}/runs/{run.pk}/output/?as=csv")
    found = list(csv.reader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert found == [["id", "note"], ["1", "<b>=1+1</b>"], ["-2", ""], ["3", "'=1+1"], ["4", "a\nb"]]


def test_a_long_result_says_what_is_left_out(orders, grant, as_alice, monkeypatch):  # noqa: F811
    monkeypatch.setattr(results, "MOST_ROWS", 300)
    run = with_result(orders, grant, result(["id"], *([str(at)] for at in range(400)), ["x" * 999]), 401)
    says(page_of(as_alice, grant, f"?open={run.pk}"), "The first 200 of 401 rows.", "<td>199</td>")
    answer = as_alice.get(f"/grants/{grant.ref}/runs/{run.pk}/output/?as=csv")
    assert b"".join(answer.streaming_content).count(b"\n") == 301


def test_a_long_value_is_cut_in_the_table(orders, grant, as_alice):  # noqa: F811
    run = with_result(orders, grant, result(["note"], ["y" * 999]), 1)
    says(page_of(as_alice, grant, f"?open={run.pk}"), f"{'y' * 200}…", "Values are cut after 200 characters.")


def test_others_get_no_result(orders, grant, as_charlie):  # noqa: F811
    run = with_result(orders, grant, result(["id"], ["1"]), 1)
    assert as_charlie.get(f"/grants/{grant.ref}/runs/{run.pk}/output/?as=csv").status_code == 404


def test_results_are_deleted_after_a_day(orders, grant, as_alice, tmp_path: Path):  # noqa: F811
    run = with_result(orders, grant, result(["id"], ["1"]), 1)
    assert purge_recordings(folder=tmp_path, now=run.ended_at + RESULTS_KEPT) == 0
    assert purge_recordings(folder=tmp_path, now=run.ended_at + RESULTS_KEPT * 2) == 1
    assert not (tmp_path / run.recording).exists()


def test_a_conversation_is_replayed_as_text(orders, grant, as_alice):  # noqa: F811
    run = ran(orders, grant, rows=0)
    kept = result(["any"])
    made = write(kept, grant.ref, run.pk, "a connection", orders.now, Room(10**6, "all"))
    said = {"recording": made.path, "recording_digest": made.digest, "recording_bytes": made.file_bytes}
    keep_conversation(run_id=run.pk, **said, now=orders.now)
    says(page_of(as_alice, grant), "conversation", f"/recordings/{run.pk}/")
    says(read(as_alice, f"/recordings/{run.pk}/"), "The connection from this statement on", "Seal intact")
