"""Many gateways together query the database hardly more often than a few."""

import pytest

from sessions_app.gateways.core.spread import FEW, spread


@pytest.mark.parametrize(("gateways", "longest"), [(1, 2), (FEW, 2), (4 * FEW, 8), (100 * FEW, 10)])
def test_the_more_there_are_the_longer_each_waits_and_none_as_long_as_another(gateways, longest):
    waits = [spread(2.0, gateways=gateways, most=10.0) for _ in range(50)]
    assert longest / 2 <= min(waits) <= max(waits) <= longest
    assert len(set(waits)) == 50
