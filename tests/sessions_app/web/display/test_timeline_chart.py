"""Who had what, when: the chart, the table and the file."""

import csv
import datetime as dt
import io
import itertools
import zoneinfo

import pytest
from django.utils import timezone
from hypothesis import example, given
from hypothesis import strategies as st

from sessions_app.models import EndReason, Grant
from sessions_app.operations.grants.end_grant import end_grant
from sessions_app.web.display.timeline_chart import Group, Span, draw_board
from sessions_app.web.layout.downloads import plain
from sessions_app.web.record.timeline_page import span_of
from sessions_app.web.record.timeline_question import By, Question, Zoom
from tests.support.world import acts
from tests.support.world.acts import after
from tests.support.world.reading import read

pytestmark = pytest.mark.usefixtures("at_noon")

START = dt.datetime(2026, 11, 25, tzinfo=dt.UTC)
BERLIN = "Europe/Berlin"


def board(client, query: str = ""):
    return client.get(f"/timeline/{query}").context["board"]


def bars(client, query: str = "") -> list[tuple[str, str]]:
    return sorted(
        (bar.span.text.split(" ")[0], bar.span.url)
        for row in board(client, query).chart.rows
        for bar in row.bars
    )


def rows(client, query: str = "") -> list[str]:
    return [row.group.key for row in board(client, query).chart.rows]


def file(client, query: str = "") -> list[dict[str, str]]:
    answer = client.get(f"/timeline/?format=csv{query}")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    return list(csv.DictReader(io.StringIO(answer.getvalue().decode())))


def span(first: float, last: float, label: str = "Alice") -> Span:
    return Span(
        identity=None,
        note="",
        start=START + dt.timedelta(hours=first),
        end=START + dt.timedelta(hours=last),
        tone="ok",
        style="",
        text="",
        url="/",
        label=label,
    )


def draw(*spans: Span, bands=()):
    group = Group(key="web", label="web", note="", url="/", identity=None, spans=spans, bands=bands)
    return draw_board(
        [group], start=START, end=START + dt.timedelta(days=1), now=START + dt.timedelta(hours=12)
    ).rows[0]


def test_no_bar_of_a_row_covers_another_nor_its_text():
    row = draw(
        *(span(start, start + length) for start, length in itertools.product(range(0, 20, 3), (1, 2, 5)))
    )
    for one, other in itertools.combinations(row.bars, 2):
        if one.y == other.y:
            reach = [(float(bar.x[:-1]), float(bar.x[:-1]) + float(bar.width[:-1])) for bar in (one, other)]
            (_, first_end), (second, _) = sorted(reach)
            assert first_end <= second
    assert row.height >= max(bar.y for bar in row.bars) + 21


SHOWN = st.tuples(
    st.integers(0, 94), st.sampled_from([1, 2, 8, 30]), st.sampled_from(["Bob", "Canary", "Alice Moreau"])
)


@given(st.lists(SHOWN, min_size=2, max_size=5))
@example([(68, 1, "Alice Moreau"), (94, 1, "Canary")])
def test_on_a_phone_no_name_stands_on_another(shown):
    letter = 2.45  # percent: 6.5 of the 265 pixels that a chart has on a screen of 320
    reach = []
    for bar in draw(*(span(first / 4, (first + long) / 4, label) for first, long, label in shown)).bars:
        first, wide = float(bar.text_x[:-1]), len(bar.text) * letter
        first -= wide if bar.anchor == "end" else 0
        reach += [] if bar.desk else [(bar.y, first, first + wide)]
    for (lane, _, until), (other, begins, _) in itertools.pairwise(sorted(reach)):
        assert lane != other or until <= begins + 0.1


@pytest.mark.parametrize("days", [1, 7, 30])
def test_on_a_phone_the_current_time_stands_on_no_label_of_the_axis(days):
    letter = 3  # percent, with a margin
    for now in (START + dt.timedelta(hours=days * part / 10) for part in range(241)):
        drawn = draw_board([], start=START, end=START + dt.timedelta(days=days), now=now)
        middle = float(drawn.now_x[:-1])
        for tick in drawn.ticks:
            x, wide = float(tick.x[:-1]), len(tick.label) * letter
            first = x - {"start": 0, "middle": wide / 2, "end": wide}[tick.anchor]
            reach = len(drawn.now_label) * letter / 2
            assert tick.desk or first + wide <= middle - reach or first >= middle + reach, (now, tick)


@pytest.mark.parametrize(
    ("zoom", "day", "first", "after_", "before", "hours"),
    [
        (Zoom.DAY, "2026-10-25", "2026-10-25", "2026-10-26", "2026-10-24", 25),
        (Zoom.DAY, "2026-03-29", "2026-03-29", "2026-03-30", "2026-03-28", 23),
        (Zoom.WEEK, "2026-10-25", "2026-10-19", "2026-10-26", "2026-10-18", 169),
        (Zoom.MONTH, "2026-02-28", "2026-02-01", "2026-03-01", "2026-01-31", 28 * 24),
        (Zoom.MONTH, "2026-12-01", "2026-12-01", "2027-01-01", "2026-11-30", 31 * 24),
    ],
)
def test_a_stretch_goes_from_midnight_to_midnight_in_the_readers_zone(
    zoom, day, first, after_, before, hours
):
    with timezone.override(BERLIN):
        question = Question(zoom=zoom, day=dt.date.fromisoformat(day))
        start, end = question.stretch()
    assert [f"{one}" for one in (question.first, question.after, question.before)] == [first, after_, before]
    assert (end - start).total_seconds() / 3600 == hours
    assert [moment.astimezone(zoneinfo.ZoneInfo(BERLIN)).hour for moment in (start, end)] == [0, 0]


@pytest.fixture
def story(world, now):
    """One of each: active, coming, ended early, asked, denied, break-glass access of alice; asked by a
    machine.
    """
    early = world.grant()
    end_grant(grant_id=early.pk, actor=world.alice, reason=EndReason.RELEASED, now=now)
    acts.undo(early, now=now + dt.timedelta(minutes=1))
    story = {
        "early": early,
        "active": world.grant(),
        "coming": world.grant(start=False, starts_at=after(world, minutes=2)),
        "asked": world.request(),
        "denied": world.decide(world.request(), verdict="deny", comment="no"),
        "glass": world.request(kind="break_glass", reason="Down").grant,
        "machine": world.request(world.robot),
    }
    return {
        name: f"/{'grants' if isinstance(one, Grant) else 'requests'}/{one.ref}/"
        for name, one in story.items()
    }


def test_each_state_has_its_bar_and_each_filter_shows_its_own(story, as_bob, fake_targets):
    assert {url for _, url in bars(as_bob, "?zoom=month")} == set(story.values())
    expected = {
        "asked": {"asked", "machine"},
        "later": {"coming", "glass"},
        "active": {"active"},
        "ended": {"early"},
        "refused": {"denied"},
        "urgent": {"glass"},
    }
    for state, names in expected.items():
        shown = {url for _, url in bars(as_bob, f"?zoom=month&state={state}")}
        assert shown == {story[name] for name in names}, state
        assert {
            f"/{'grants' if row['grant'] else 'requests'}/{row['grant'] or row['request']}/"
            for row in file(as_bob, f"&zoom=month&state={state}")
        } == shown


def test_one_sees_ones_own_those_of_ones_machines_and_what_one_looks_into(
    story, as_alice, as_bob, as_charlie
):
    assert {url for _, url in bars(as_alice, "?zoom=month")} == set(story.values())
    assert bars(as_charlie, "?zoom=month") == []
    assert file(as_charlie, "&zoom=month") == []
    assert "Nothing in this period" in read(as_charlie, "/timeline/?view=table")


def test_the_timeline_shows_hours_and_not_only_days(world, as_bob):
    # A Tuesday in Berlin, where Bob is: 14:30 to 15:30 there.
    world.bob.time_zone = "Europe/Berlin"
    world.bob.save()
    grant = world.grant(now=acts.awake(dt.datetime(2027, 6, 8, 12, 30, tzinfo=dt.UTC)))
    day = "?day=2027-06-08"
    there = [f"/grants/{grant.ref}/"]
    for hours, found in (
        ("&since=14:00&until=16:00", there),
        ("&since=15:29", there),
        ("&until=14:31", there),
        ("&since=15:30&until=16:00", []),
        ("&since=12:00&until=14:30", []),
        ("&since=22:00&until=02:00", []),
        ("&since=never", there),
    ):
        assert [url for _, url in bars(as_bob, day + hours)] == found, hours
    assert "Tuesday, 8 June 2027, 14:00 to 16:00" in read(as_bob, f"/timeline/{day}&since=14:00&until=16:00")
    # From the evening over midnight.
    assert [url for _, url in bars(as_bob, "?day=2027-06-07&since=22:00&until=15:00")] == there


def test_what_can_not_be_drawn_is_said(world, as_bob, monkeypatch):
    monkeypatch.setattr("sessions_app.web.record.timeline_page.MOST_BARS", 2)
    for _ in range(5):
        world.request()
    shown = board(as_bob)
    assert (shown.drawn, shown.left_out, shown.at_least) == (2, 3, False)
    assert "Showing the first 2; 3 later ones are not shown." in read(as_bob, "/timeline/")


def test_nonsense_in_the_address_is_a_page(as_alice):
    for query in (
        "?by=x&zoom=y&day=never&state=z",
        "?day=0001-01-01&zoom=month",
        "?day=9999-12-31&zoom=week",
        "?before=x&view=table",
        "?day=2026-02-30",
    ):
        assert as_alice.get(f"/timeline/{query}").status_code == 200, query


def test_a_cell_that_a_spreadsheet_would_run_is_defused(world, as_bob):
    world.request(reason="=HYPERLINK(1)\nnext", ticket='a "quoted", one')
    (row,) = file(as_bob)
    assert (row["reason"], row["ticket"]) == ("'=HYPERLINK(1)\nnext", 'a "quoted", one')
    for text in ("=1", "+1", "-1+1", "@x", "\tx", "\rx"):
        assert plain(text) == f"'{text}"
    assert [plain(value) for value in ("1=1", 7, "-1.5", None, "a-b")] == ["1=1", "7", "-1.5", "", "a-b"]


def test_what_is_still_ending_reaches_to_now(world, now):
    grant = world.grant()
    end_grant(grant_id=grant.pk, actor=world.bob, reason=EndReason.REVOKED, now=now)
    later = now + dt.timedelta(hours=5)
    request = grant.request
    request.refresh_from_db()
    assert span_of(request, By.CLUSTER, later).end == later


def test_rows_are_clusters_people_or_machines(story, as_bob):
    assert rows(as_bob, "?zoom=month") == ["web"]
    assert rows(as_bob, "?zoom=month&by=person") == ["alice"]
    assert rows(as_bob, "?zoom=month&by=machine") == ["robot"]
    assert rows(as_bob, "?zoom=month&by=person&person=charlie") == []
    assert rows(as_bob, "?zoom=month&cluster=db") == []
