"""An upload that waits for approval, for approvers and for others."""

import pytest

from broker.kernel import clock
from tests.support.world.acts import held_upload


@pytest.mark.parametrize("path", ["/", "/approvals/", "/grants/{ref}/"])
def test_an_approver_sees_the_name_size_digest_and_text_wherever_they_decide(grant, as_bob, path):
    held_upload(grant, "port = <8080>\n", now=clock.now())
    page = as_bob.get(path.format(ref=grant.ref)).content.decode()
    assert "<b>app.conf</b>, 14\xa0bytes." in page
    assert "a" * 64 in page
    assert "<pre>port = &lt;8080&gt;\n</pre>" in page


def test_what_is_not_text_is_said_to_be_hidden(grant, as_bob):
    held_upload(grant, None, now=clock.now())
    assert "Only text of at most 64 KB can be shown" in as_bob.get("/approvals/").content.decode()


def test_the_holder_does_not_see_the_text(grant, as_alice):
    held_upload(grant, "Personal data", now=clock.now())
    assert "Personal data" not in as_alice.get(f"/grants/{grant.ref}/").content.decode()
