"""What a token lets its holder do at the PostgreSQL gateway, asked at each login."""

import pytest

from broker.kernel.crypto import token_digest
from sessions_app.operations.sessions.authorize_use import authorize_use
from sessions_app.operations.sessions.proofs.postgres import AtPostgres
from tests.sessions_app.gateways.postgres.test_admission import credential, grant, orders  # noqa: F401
from tests.support.world.ground import lose


@pytest.mark.parametrize(
    "loss",
    [
        "grant ended",
        "grant held",
        "holder silent",
        "holder disabled",
        "cluster removed",
        "connection changed",
        "target moved",
        "lease gone",
        "nothing made",
        "token over",
    ],
)
def test_what_takes_the_ground_away_takes_the_use_away(orders, grant, loss):  # noqa: F811
    digest = token_digest(credential(orders, grant).fields["Password"])
    assert authorize_use(by=AtPostgres(digest, "db-1"))
    assert not authorize_use(by=AtPostgres(digest, "db-2"))
    lose(grant, loss)
    assert not authorize_use(by=AtPostgres(digest, "db-1"))
