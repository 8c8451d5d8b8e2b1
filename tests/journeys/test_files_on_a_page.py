"""From a grant's page, with and without JavaScript: list a folder, save a file, and upload one."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from broker.kernel import clock
from tests.sessions_app.gateways.conftest import make_place
from tests.support.browser.screens import PHONE
from tests.support.browser.site import serve
from tests.support.servers.files import with_files
from tests.support.servers.gateway import Place

pytestmark = pytest.mark.timing

LOG = b"one\ntwo\n"


@pytest.fixture(scope="module")
def place(chromium, tmp_path_factory, django_db_setup, django_db_blocker) -> Iterator[Place]:
    """A gateway and its targets, one of which has files."""
    with django_db_blocker.unblock():
        for place in make_place(tmp_path_factory):
            folder = (place.folder / "files").resolve()
            folder.mkdir()
            digest = hashlib.sha256(LOG).hexdigest()
            place.world.apply(with_files(place, folder, digest), now=clock.now())
            (folder / "logs" / "access.log").write_bytes(LOG)
            yield place


@pytest.fixture(scope="module")
def site(place) -> Iterator[str]:
    """Run the web process beside the gateway."""
    with serve(place.env, place.folder) as url:
        yield url


@pytest.mark.parametrize("scripts", [True, False], ids=["script", "no-script"])
def test_list_a_folder_save_a_file_and_upload_one(place, visit, tmp_path, scripts):
    folder: Path = (place.folder / "files").resolve()
    grant = place.grant()
    alice = visit("alice", PHONE, java_script_enabled=scripts)

    def arrived(text: str) -> None:
        """Wait for a text; without JavaScript, by the link that reloads the page."""
        for _ in range(40):
            if scripts or alice.get_by_text(text).count():
                break
            alice.wait_for_timeout(250)
            alice.reload()
        expect(alice.get_by_text(text).first).to_be_visible()

    alice.goto(f"/grants/{grant.ref}/")
    if alice.locator("summary", has_text="commands").count():
        alice.locator("#run summary").click()
    row = alice.locator("#run li", has_text=f"list {folder}/logs")
    row.get_by_role("button", name="List").click()
    arrived("access.log")
    alice.locator("tr", has_text="access.log").get_by_role("button", name="Download").click()
    arrived("Save file")
    with alice.expect_download() as saving:
        alice.get_by_role("button", name="Save file").click()
    assert saving.value.suggested_filename == "access.log"
    assert Path(saving.value.path()).read_bytes() == LOG

    alice.goto(f"/grants/{grant.ref}/")
    if alice.locator("summary", has_text="commands").count():
        alice.locator("#run summary").click()
    name = f"from-page{int(scripts)}"
    row = alice.locator("#run li", has_text=f"put {folder}/again/")
    row.locator("input.ctl:not([type=file])").fill(name)
    (tmp_path / "mine").write_bytes(b"uploaded")
    row.locator("input[type=file]").set_input_files(tmp_path / "mine")
    row.locator("button").click()
    arrived("The file was uploaded")
    assert (folder / "again" / name).read_bytes() == b"uploaded"
