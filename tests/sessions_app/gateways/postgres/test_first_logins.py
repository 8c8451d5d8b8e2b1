"""The first logins of a grant, which give its role a password on the server, arrive at the same moment."""

from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.processes

AT_ONCE = 10


def logged_in(place, grant) -> bool:
    with place.connect(grant) as client:
        return client.execute("SHOW timezone").fetchone() is not None


def test_ten_first_logins_at_once_are_all_let_in(place):
    for grant in [place.grant() for _ in range(3)]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            assert all(pool.map(lambda _, grant=grant: logged_in(place, grant), range(AT_ONCE)))
