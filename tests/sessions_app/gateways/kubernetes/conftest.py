"""One gateway with an API server behind it for each module, in its own database."""

from collections.abc import Iterator

import pytest

from tests.support.servers.kubernetes_place import Place, kubernetes_place

REVISIONS = "/apis/apps/v1/namespaces/shop/replicasets"


@pytest.fixture(scope="module")
def place(processes, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    with (
        django_db_blocker.unblock(),
        kubernetes_place(django_db_blocker, tmp_path_factory.mktemp("kube")) as made,
    ):
        yield made


@pytest.fixture(autouse=True)
def _nothing_is_left_over(request) -> Iterator[None]:
    """Remove a test's grants and revisions, so that they don't affect the next test."""
    yield
    if "place" not in request.fixturenames:
        return
    from broker.kernel import clock
    from sessions_app.models import EndReason, Grant
    from sessions_app.operations.grants.end_grant import end_grant

    for pk in Grant.objects.filter(state="active").values_list("pk", flat=True):
        end_grant(grant_id=pk, actor=None, reason=EndReason.REVOKED, now=clock.now())
    place = request.getfixturevalue("place")
    for one in place.cluster.call("GET", REVISIONS)[1]["items"]:
        place.cluster.call("DELETE", f"{REVISIONS}/{one['metadata']['name']}")
