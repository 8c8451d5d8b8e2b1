"""What somebody may not see is not there for them, at whatever address."""

import pytest

from tests.sessions_app.api.conftest import is_not_there
from tests.support.world.acts import enter, run

ABSENT = {
    "grant": "GR-ZZZZ",
    "request": "REQ-999999",
    "run": "999999",
    "incident": "INC-999999",
    "web": "zzz",
}
READ = [
    "/grants/{grant}",
    "/grants/{grant}/receipt",
    "/grants/{grant}/runs",
    "/grants/{grant}/sessions",
    "/requests/{request}",
    "/workflows/{incident}",
    "/clusters/{web}",
    "/command-sets/restart-{web}",
    "/command-sets/restart-{web}/versions/1",
    "/policies/{web}-work",
]
ACTS = {
    "/grants/{grant}/end": {},
    "/grants/{grant}/extend": {"duration": "5m"},
    "/grants/{grant}/review": {"note": "Fine"},
    "/grants/{grant}/credential": {"target": "web-1"},
    "/grants/{grant}/retry": {},
    "/grants/{grant}/release": {},
    "/grants/{grant}/heartbeat": {},
    "/grants/{grant}/delegate": {"identity": "robot", "command_set": "restart-web"},
    "/requests/{request}/verdicts": {"verdict": "approve", "digest": "0" * 64},
    "/requests/{request}/withdraw": {},
    "/runs/{run}/decision": {"allow": True},
    "/workflows/{incident}/close": {"note": "Over"},
}


@pytest.fixture
def there(world):
    grant = world.grant()
    held = run(*enter(grant, now=world.now), "echo stop nginx", now=world.now)
    refs = {"grant": grant.ref, "request": world.request().ref, "incident": world.incident().ref}
    return {**refs, "run": held.run_id, "web": "web"}


@pytest.mark.parametrize("path", READ)
def test_those_who_may_see_it_read_it_and_for_others_it_is_not_there(api, there, path):
    for who in ("alice", "bob", "dora", "admin"):
        assert api(who).get(path.format(**there)).status_code == 200, who
    for who in ("charlie", "robot") if path.startswith(("/grants", "/requests")) else ("charlie",):
        is_not_there(api(who), "GET", path.format(**there), path.format(**ABSENT))


@pytest.mark.parametrize("path", ACTS)
def test_who_may_not_see_it_does_nothing_with_it(api, there, path):
    is_not_there(api("charlie"), "POST", path.format(**there), path.format(**ABSENT), ACTS[path])
