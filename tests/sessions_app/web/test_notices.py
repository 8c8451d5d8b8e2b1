"""What one was told, in the page."""

from __future__ import annotations

import pytest

from sessions_app.models import Notice


@pytest.fixture
def notice(world) -> Notice:
    world.request()
    return Notice.objects.get(identity=world.bob)


def test_one_sees_ones_own_notices_and_nobody_elses(notice, as_bob, as_charlie):
    assert notice.subject in as_bob.get("/notices/").content.decode()
    assert notice.subject not in as_charlie.get("/notices/").content.decode()
    assert "Nothing new" in as_charlie.get("/notices/").content.decode()


def test_looking_reads_nothing_and_a_press_does(notice, as_bob, now):
    as_bob.get("/notices/")
    as_bob.get(notice.path)
    notice.refresh_from_db()
    assert notice.read_at is None
    assert as_bob.post(f"/notices/{notice.pk}/read/")["Location"] == "/notices/"
    notice.refresh_from_db()
    assert notice.read_at is not None
    assert "Read before" in as_bob.get("/notices/").content.decode()


def test_opening_reads_and_leads_to_the_page(notice, as_bob):
    answer = as_bob.post(f"/notices/{notice.pk}/read/", {"open": "1"})
    assert answer["Location"] == notice.path
    notice.refresh_from_db()
    assert notice.read_at is not None


def test_a_notice_of_another_is_not_there(notice, as_charlie):
    assert as_charlie.post(f"/notices/{notice.pk}/read/").status_code == 404
    notice.refresh_from_db()
    assert notice.read_at is None


def test_all_that_was_shown_is_read_at_once(notice, as_bob, world):
    later = Notice.objects.create(identity=world.bob, event="x", subject="Later", path="/")
    page = as_bob.post("/notices/read/", {"newest": str(notice.pk)}, follow=True).content.decode()
    assert "1 notice is marked as read" in page
    later.refresh_from_db()
    assert later.read_at is None
    assert "0 notices" in as_bob.post("/notices/read/", {"newest": "all"}, follow=True).content.decode()


def test_those_not_read_come_first_and_long_lists_are_paged(world, as_bob, now):
    Notice.objects.bulk_create(
        Notice(identity=world.bob, event="x", subject=f"Old {n}.", path="/", read_at=now) for n in range(60)
    )
    Notice.objects.bulk_create(
        Notice(identity=world.bob, event="x", subject=f"New {n}.", path="/") for n in range(60)
    )
    page = as_bob.get("/notices/").content.decode()
    assert page.index("New 59.") < page.index("Old 59.")
    assert "There are more." in page
    assert "New 9." not in page
    first = Notice.objects.get(subject="Old 10.").pk
    older = as_bob.get(f"/notices/?before={first}").content.decode()
    assert "Old 9." in older
    assert "New 59." not in older
    assert "No older ones" in as_bob.get("/notices/?before=1").content.decode()


def test_the_bell_counts_what_is_not_read(notice, as_bob):
    assert 'data-count="unread">1<' in as_bob.get("/").content.decode()
    as_bob.post(f"/notices/{notice.pk}/read/")
    assert 'data-count="unread" hidden>0<' in as_bob.get("/").content.decode()
