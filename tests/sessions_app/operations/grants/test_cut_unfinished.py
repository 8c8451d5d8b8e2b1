"""What nobody reported as over is cut, and told once for each."""

from sessions_app.models import CommandRun, RunState
from sessions_app.operations.grants.cut_unfinished import UNFINISHED, cut_unfinished, record_finished
from tests.support.world.acts import enter, events, last, run


def test_what_runs_or_waits_is_cut_and_what_is_over_stays(world, now):
    grant = world.grant()
    used, opened = enter(grant, now=now)
    for line in ("echo restart nginx", "echo stop nginx", "echo restart haproxy"):
        run(used, opened, line, now=now)
    assert [one.state for one in grant.runs.order_by("pk")] == ["running", "held", "refused"]
    cut = cut_unfinished(of=grant, reason="the grant ended", now=now)
    assert {one.state for one in cut} == {RunState.CUT}
    assert [one.state for one in grant.runs.order_by("pk")] == ["cut", "cut", "refused"]
    assert not CommandRun.objects.filter(state__in=UNFINISHED).exists()
    for one in cut:
        record_finished(run=one, now=now)
    assert events(grant.ref).count("command.finished") == 2
    assert last("command.finished", grant.ref).data["reason"] == "the grant ended"
    assert cut_unfinished(of=grant, reason="again", now=now) == []
