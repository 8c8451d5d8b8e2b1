"""Files on the page of a grant, as far as they need no gateway."""

import re

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from broker.kernel import clock
from broker.kernel.spooled import Spooled
from sessions_app.models import CommandOrder, FilePiece, OrderedFile
from sessions_app.web.grants.files import safe_name
from tests.support.world import acts
from tests.support.world.files import GET, LIST, LOG, PUT, fetch, file_grant, listing
from tests.support.world.reading import answered, read, says


@pytest.fixture
def grant(world):
    return file_grant(world)


def send(client, grant, index: int, **form):
    return client.post(f"/grants/{grant.ref}/files/", {"index": index, "target": "web-1", **form})


def upload(client, grant, data: bytes | None, name: str = "a1", index: int = PUT):
    file = {f"file.{index}": SimpleUploadedFile("mine.bin", data)} if data is not None else {}
    form = {"index": index, "target": "web-1", f"v.{index}.file": name, **file}
    return client.post(f"/grants/{grant.ref}/upload/", form)


def ready(client, grant, data: bytes = b"one\ntwo\n", path: str = LOG) -> str:
    """Order a download as the page does, do what a gateway does, and return the address of the transfer."""
    form = {"target": "web-1", "direction": "get", "path": path}
    place = client.post(f"/grants/{grant.ref}/files/", form)["Location"]
    fetch(CommandOrder.objects.latest("pk"), data, clock.now())
    return place


def listed(client, grant, *entries) -> str:
    place = send(client, grant, LIST)["Location"]
    fetch(CommandOrder.objects.latest("pk"), listing(*entries), clock.now())
    return place


def test_each_file_rule_has_a_form_with_its_places(grant, as_alice):
    page = read(as_alice, f"/grants/{grant.ref}/")
    assert page.count(f'action="/grants/{grant.ref}/files/"') == 3
    assert page.count(f'action="/grants/{grant.ref}/upload/" enctype="multipart/form-data"') == 2
    says(page, f'name="v.{GET}.file"', f'name="file.{PUT}"', "at most 64 MiB here")
    assert re.search(r'type="file" required data-most="67108864"', page)


def test_the_forms_are_for_the_holder_alone(grant, as_bob):
    assert "/files/" not in read(as_bob, f"/grants/{grant.ref}/")


def test_a_download_waits_then_is_saved_once_under_a_safe_name(grant, as_alice):
    answer = send(as_alice, grant, GET, **{f"v.{GET}.file": "access.log"})
    place = answer["Location"]
    says(read(as_alice, place), "Waiting for a gateway", f"get {LOG}", 'hx-trigger="every 1s"', "Refresh")
    fetch(CommandOrder.objects.get(), b"one\ntwo\n", clock.now())
    page = read(as_alice, place)
    says(page, "Save file", f'action="{place}take/"', "SHA-256")
    assert "hx-trigger" not in page.partition('id="transfer"')[2].partition(">")[0]
    saved = as_alice.post(f"{place}take/", headers={"Accept-Encoding": "gzip"})
    assert b"".join(saved.streaming_content) == b"one\ntwo\n"
    assert saved["Content-Disposition"] == 'attachment; filename="access.log"'
    assert (saved["Content-Type"], saved["Content-Length"]) == ("application/octet-stream", "8")
    assert saved["X-Content-Type-Options"] == "nosniff"
    assert "no-store" in saved["Cache-Control"]
    assert "Content-Encoding" not in saved
    assert not OrderedFile.objects.exists()
    says(read(as_alice, place), "no longer here", "Download again")
    assert as_alice.post(f"{place}take/").status_code == 404


def test_a_download_is_not_started_or_saved_by_a_link(grant, as_alice):
    place = ready(as_alice, grant)
    assert as_alice.get(f"{place}take/").status_code == 405
    assert as_alice.get(f"/grants/{grant.ref}/files/").status_code == 405
    assert as_alice.get(f"/grants/{grant.ref}/upload/").status_code == 405
    assert OrderedFile.objects.get().taken_at is None


def test_others_see_no_transfer_and_save_nothing(world, grant, as_alice, as_bob, as_charlie, browser):
    place = ready(as_alice, grant)
    for client in (as_bob, as_charlie, browser("admin")):
        assert client.get(place).status_code == 404
        assert client.post(f"{place}take/").status_code == 404
        assert send(client, grant, LIST).status_code == 404
        assert upload(client, grant, b"x").status_code == 404
    assert OrderedFile.objects.count() == 1
    assert not FilePiece.objects.filter(file__direction="put").exists()


def test_a_listing_has_a_button_for_each_file_and_folder_that_the_rules_allow(grant, as_alice):
    place = listed(
        as_alice,
        grant,
        ("access.log", False, 2048, 1_700_000_000),
        ("not allowed", False, 1, 1_700_000_000),
        ("old", True, 0, 1_700_000_000),
        ("other", True, 0, 1_700_000_000),
    )
    page = read(as_alice, place)
    says(page, "4 entries", "2.0\xa0KB", "old/", "not allowed", "2023")
    table = page.partition("Entries of")[2].partition("</table>")[0]
    rows = re.findall(r"<tr>.*?</tr>", table, re.DOTALL)[1:]
    paths = [re.findall(r'name="direction" value="(\w+)">\s*<input[^>]*value="([^"]+)"', row) for row in rows]
    assert paths == [[("list", "/var/log/app/old")], [], [("get", LOG)], []]


def test_a_long_listing_has_pages_and_an_empty_one_says_so(grant, as_alice):
    place = listed(as_alice, grant, *((f"file-{n:03}", False, 1, 0) for n in range(201)))
    says(read(as_alice, place), "201 entries", "file-199", "?start=200")
    page = read(as_alice, f"{place}?start=200")
    says(page, "file-200", "First")
    assert "file-199" not in page
    says(read(as_alice, listed(as_alice, grant)), "The folder is empty")


def test_names_and_times_from_the_target_are_inert(grant, as_alice):
    page = read(
        as_alice,
        listed(as_alice, grant, ("<script>x</script>", False, 10**18, 10**12 - 1), ("b", False, 1, -1)),
    )
    assert "&lt;script&gt;x" in page
    assert "<script>x" not in page


def test_an_upload_is_queued_with_its_content_and_nothing_stays_in_the_process(grant, as_alice):
    answer = upload(as_alice, grant, b"Personal data")
    assert answer.status_code == 302
    file = OrderedFile.objects.get()
    assert (file.direction, file.size, file.path) == ("put", 13, "/srv/app/releases/a1.bin")
    assert Spooled.waiting == 0
    says(read(as_alice, answer["Location"]), "put /srv/app/releases/a1.bin", "stint cp FILE")


def test_an_upload_without_a_file_or_with_a_refused_name_is_said_beside_its_form(grant, as_alice):
    says(answered(upload(as_alice, grant, None), 400), "Choose a file")
    says(answered(upload(as_alice, grant, b"x", name="A"), 403), "Not allowed: file", 'value="A"')
    says(answered(upload(as_alice, grant, bytes(2000)), 403), "at most 1 KB")
    assert Spooled.waiting == 0
    assert not FilePiece.objects.exists()


@pytest.mark.parametrize("size", [1001, 200_000])
def test_a_file_that_is_too_large_is_refused_while_it_arrives(grant, as_alice, settings, size):
    """By its length, or by what arrives if the length of the request leaves room for the form."""
    settings.PAGE_FILE_BYTES = 1000
    page = answered(upload(as_alice, grant, bytes(size)), 413)
    says(page, "larger than", f"stint cp FILE {grant.ref}.web-1:/srv/app/releases/a1.bin")
    assert Spooled.waiting == 0
    assert not CommandOrder.objects.exists()


def test_a_proxy_that_refuses_a_large_file_leads_to_the_reason(grant, as_alice):
    answer = as_alice.get(f"/grants/{grant.ref}/?too_large=1")
    says(answered(answer, 413), "larger than 64 MiB", "stint cp")


def test_other_forms_take_no_files(grant, as_alice, browser):
    sent = {"note": "x", "file.1": SimpleUploadedFile("mine.bin", bytes(100_000))}
    as_alice.post(f"/grants/{grant.ref}/suspend/", sent)
    browser().post(f"/grants/{grant.ref}/upload/", sent)
    assert Spooled.waiting == 0
    assert not OrderedFile.objects.exists()


def test_the_log_leads_the_holder_to_the_transfer(grant, as_alice, as_bob):
    place = ready(as_alice, grant)
    assert f'href="{place}"' in read(as_alice, f"/grants/{grant.ref}/")
    assert place not in read(as_bob, f"/grants/{grant.ref}/")


def test_a_command_has_no_page_of_a_transfer(grant, as_alice):
    as_alice.post(f"/grants/{grant.ref}/run/", {"index": 5, "target": "web-1"})
    order = CommandOrder.objects.get()
    assert as_alice.get(f"/grants/{grant.ref}/files/{order.pk}/").status_code == 404


def test_a_page_that_has_not_changed_is_not_sent_again(grant, as_alice):
    place = send(as_alice, grant, LIST)["Location"]
    seen = re.search(r"\?seen=(\w+)", read(as_alice, place))[1]
    assert as_alice.get(f"{place}?seen={seen}").status_code == 204
    fetch(CommandOrder.objects.get(), listing(), clock.now())
    assert as_alice.get(f"{place}?seen={seen}").status_code == 200


def test_after_the_end_nothing_is_saved_or_listed(grant, as_alice):
    place = ready(as_alice, grant)
    shown = listed(as_alice, grant, ("access.log", False, 1, 0))
    acts.revoke(grant)
    assert as_alice.post(f"{place}take/").status_code in (404, 409, 410)
    assert "access.log" not in read(as_alice, shown)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/var/log/access.log", "access.log"),
        ("/a/..", "download"),
        ("/a/.env", "env"),
        ('/a/x"\r\ny', "x___y"),
        ("/a/..\\..\\x", "_.._x"),
        ("/a/\u202egnp.exe", "_gnp.exe"),
        ("/a/r\u00e9sum\u00e9.txt", "r\u00e9sum\u00e9.txt"),
        ("/a/" + "x" * 300, "x" * 200),
    ],
)
def test_a_name_can_not_lead_elsewhere(path, name):
    assert safe_name(path) == name
