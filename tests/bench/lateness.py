"""How late the gateway's own sweep ends expired grants."""

import datetime as dt

from tests.bench.database import fill_grants
from tests.bench.place import bare_place
from tests.bench.report import Report, median, percentile
from tests.support.waits import eventually

# Includes the time for filling the database.
AHEAD = dt.timedelta(seconds=6)
MOST_MS = 100


def run(report: Report) -> None:
    """Measure."""
    with bare_place() as (name, _):
        _measure(report, name, count=300, seconds=20, first=100_000)
        _measure(report, name, count=10_000, seconds=1, first=200_000)


def _measure(report: Report, name: str, *, count: int, seconds: int, first: int) -> None:
    from broker.kernel import clock
    from sessions_app.models import Grant

    begin = clock.now() + AHEAD
    expires = f"timestamptz '{begin.isoformat()}' + (i - 1) * interval '{seconds / count:.6f} seconds'"
    fill_grants(name, count, state="active", expires=expires, first=first)
    assert clock.now() < begin, "the grants were made too late to be measured"
    grants = Grant.objects.filter(request__number__gt=first)
    eventually(
        lambda: not grants.filter(revoking_at=None).exists(), within=AHEAD.seconds + seconds + 30, every=0.5
    )
    late = [
        (revoking - expired).total_seconds() * 1000
        for revoking, expired in grants.values_list("revoking_at", "expires_at")
    ]
    assert len(late) == count
    what = f"lateness of the sweep, {count:,} grants over {seconds} s"
    report.note(f"{what}: median {median(late):.1f} ms, last {max(late):.1f} ms")
    report.figure(f"{what}, p99", percentile(late, 99), "ms", most=MOST_MS)
