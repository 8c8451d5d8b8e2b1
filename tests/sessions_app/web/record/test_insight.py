"""The insight page: figures that lead to their rows, files of their numbers, and no more script
than allowed.
"""

import datetime as dt
import html
import re

import pytest
from django.test import Client

from broker.kernel import clock
from sessions_app.models import AccessRequest, CommandRun, Grant
from sessions_app.operations.grants.provision_grant import provision_grant
from sessions_app.web.record.insight_figures import say_time
from tests.support.world import acts
from tests.support.world.reading import read, says


@pytest.fixture
def busy(world):
    """Break-glass access with a refused command, a grant that was never used, and a denied request, all of
    now.
    """
    now = clock.now()
    world.request(kind="break_glass")
    grant = provision_grant(grant_id=Grant.objects.get().pk, now=world.now)
    unused = world.grant(reason="Never used")
    used = acts.use(grant, now=world.now)
    acts.run(used, acts.session(used, now=world.now), "echo restart sshd", now=world.now)
    world.decide(world.request(), verdict="deny", comment="No")
    acts.confirmed_end(unused, now - dt.timedelta(seconds=3), 3)
    Grant.objects.update(created_at=now)
    AccessRequest.objects.update(created_at=now)
    AccessRequest.objects.filter(state__in=["approved", "denied"]).update(decided_at=now)
    CommandRun.objects.update(tried_at=now)
    return world


def figure(page: str, key: str) -> str:
    return page.split(f'id="{key}"')[1].split("</section>", maxsplit=1)[0]


def test_each_figure_leads_to_its_rows(busy, as_bob):
    page = read(as_bob, "/insight/?days=7")
    rows = {
        "risk": ("2", "Grants", 2),
        "clusters": ("2", "Grants", 2),
        "decisions": ("0 ms", "Requests", 2),
        "break-glass": ("1", "Grants", 1),
        "unused": ("1", "Grants", 1),
        "refusals": ("1", "Record", 1),
        "revocations": ("3 s", "Grants", 1),
    }
    for key, (text, title, count) in rows.items():
        links = re.findall(rf'<a\s+href="([^"]+)">{text}</a>', figure(page, key))
        assert links, key
        there = read(as_bob, html.unescape(links[0]))
        assert f"<h1>{title}</h1>" in there
        if title == "Record":
            listed = there.count('<li id="e')
        else:
            listed = len(set(re.findall(r'<a class="strong" href="(/(?:grants|requests)/[^"]+)"', there)))
        assert listed == count, (key, links[0])


def test_the_bar_of_a_cluster_is_its_share_of_unused_grants(busy, as_bob):
    acts.confirmed_end(Grant.objects.get(state="active"), clock.now(), 1)
    assert '<rect class="rank" width="50%"' in figure(read(as_bob, "/insight/?days=7"), "unused")


def test_readers_count_what_they_may_see(busy, as_charlie, as_bob):
    assert "2 grants, 0.0% of them on clusters with high risk." in read(as_bob, "/insight/")
    assert read(as_charlie, "/insight/").count("Nothing in this period.") == 7


def test_the_numbers_of_a_figure_are_a_file(busy, as_bob):
    text = b"".join(as_bob.get("/insight/?days=7&csv=revocations").streaming_content).decode()
    head, *days = text.splitlines()
    assert head == "Day,p50 (s),p99 (s),Revocations,Late"
    assert len(days) == 7
    assert days[-1].endswith(",3.0,3.0,1,1")
    assert as_bob.get("/insight/?csv=nothing").status_code == 404


def test_filters_of_the_lists_are_shown_and_can_be_removed(busy, as_bob):
    page = read(as_bob, "/grants/?show=all&unused=1&cluster=web&since=2020-01-01&until=not-a-day")
    says(page, "never used", "on web", "created from 2020-01-01", 'href="?show=all&amp;cluster=web&amp;')
    assert "created until" not in page
    assert "No requests" in read(as_bob, "/requests/?show=all&until=2020-01-01")


def test_the_page_loads_at_most_150_kilobytes_of_script(as_alice):
    names = re.findall(r'<script src="([^"]+)"', read(as_alice, "/insight/"))
    assert any("uPlot" in name for name in names)
    size = sum(len(b"".join(Client().get(name).streaming_content)) for name in names)
    assert size <= 150_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0.42, "420 ms"),
        (1.44, "1.4 s"),
        (2, "2 s"),
        (720, "12 min"),
        (12600, "3.5 h"),
        (259200, "3 d"),
    ],
)
def test_times_are_said_in_the_unit_that_fits(seconds, text):
    assert say_time(seconds) == text
