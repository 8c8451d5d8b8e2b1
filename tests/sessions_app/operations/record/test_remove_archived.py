"""Old entries of the record go to archives, and what remains can still be verified."""

import datetime as dt
import gzip
import sys
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from broker.audit import offline
from broker.audit.archives import AltersArchive, Held, compare_archive, remove_texts
from broker.audit.checkpoint import make_checkpoint
from broker.audit.checkpoint_key import signer
from broker.audit.export import Part
from broker.audit.models import MAIN_LOG, AuditArchive, AuditEntry
from broker.audit.verify import verify
from broker.kernel import clock
from sessions_app.api.shapes.record import EntryShape
from sessions_app.operations.record.add_legal_hold import add_legal_hold
from sessions_app.operations.record.remove_archived import NotArchived, remove_archived
from sessions_app.operations.record.remove_legal_hold import remove_legal_hold
from sessions_app.operations.record.store_archive import ARCHIVER, store_archive
from sessions_app.storage.folder import Folder
from tests.broker.audit.build import bulk_build
from tests.broker.audit.conftest import tamper
from tests.support.world.factors import just_signed_in

__all__ = ["tamper"]

OLD = dt.datetime(2026, 5, 3, tzinfo=dt.UTC)


@pytest.fixture
def store(settings, tmp_path):
    settings.CHECKPOINTS_FILE = tmp_path / "checkpoints.txt"
    (tmp_path / "bucket").mkdir()
    settings.RECORD_STORE = f"file://{tmp_path / 'bucket'}"
    return Folder(tmp_path / "bucket")


@pytest.fixture
def archive(stint_db, store):
    """A signed record of old entries and a new one, whose old ones are in the store."""
    bulk_build(connection, 20, at=OLD)
    make_checkpoint(now=OLD)
    bulk_build(connection, 1, first=90, at=clock.now())
    return store_archive(into=store, before=OLD + dt.timedelta(days=1), now=clock.now())


@pytest.fixture
def remove(archive, store, owner_connection):
    """Remove the archived texts as the owner of the schema."""

    def run(store=store) -> int:
        return remove_archived(until=archive.until, store=store, now=clock.now(), owner=owner_connection)

    return run


def intact():
    verdict = verify(connection=connection)
    assert verdict.ok, verdict.detail
    return verdict


def path_of(archive: AuditArchive, tmp_path: Path) -> Path:
    return tmp_path / "bucket" / archive.object


def test_texts_go_and_the_rest_is_verified_by_what_depends_on_their_hashes(archive, remove):
    assert remove() == archive.until
    assert (intact().archived, intact().entries) == (archive.until, AuditEntry.objects.count())
    assert remove() == 0


def test_the_archive_is_verified_without_stint(archive, remove, tmp_path, capsys):
    remove()
    key = ["--key", signer(now=OLD).verifier]
    assert offline.main([str(path_of(archive, tmp_path)), *key, "--part"]) == 0
    assert f"intact: {archive.until} entries (the part from 1 to" in capsys.readouterr().out
    path_of(archive, tmp_path).write_bytes(path_of(archive, tmp_path).read_bytes()[:-20])
    assert offline.main([str(path_of(archive, tmp_path)), *key, "--part"]) == 1
    assert "unreadable" in capsys.readouterr().out


def test_the_command_verifies_the_record_with_its_archives(archive, remove, tmp_path):
    remove()
    out = StringIO()
    call_command("audit_verify", "--no-record", "--archive", str(path_of(archive, tmp_path)), stdout=out)
    assert f"The texts of {archive.until} are archived." in out.getvalue()
    assert f"matches entries 1 to {archive.until}." in out.getvalue()


@pytest.mark.parametrize("altered", ["column", "link", "body", "hash"])
def test_an_archived_entry_that_is_altered_is_found(archive, remove, tamper, tmp_path, altered):
    remove()
    change = {
        "column": "actor = 'mallory'",
        "link": "prev_hash = hash",
        "body": "body = '{}'",
        "hash": "hash = prev_hash",
    }[altered]
    tamper(f"UPDATE audit_entry SET {change} WHERE log = 'main' AND seq = 4")  # fixed text
    if altered == "column":
        with path_of(archive, tmp_path).open("rb") as file, pytest.raises(AltersArchive, match=r"\(actor\)"):
            compare_archive(file, connection=connection)
    else:
        assert not verify(connection=connection).ok


def test_a_text_that_is_removed_without_an_archive_is_an_alteration(archive, tamper):
    tamper("UPDATE audit_entry SET body = '' WHERE log = 'main' AND seq > %s", archive.until)
    assert verify(connection=connection).first_bad_seq == archive.until + 1


def test_a_row_of_an_archive_that_the_record_does_not_have_excuses_nothing(archive, tamper):
    make_checkpoint(now=clock.now())
    tamper(
        "INSERT INTO audit_archive SELECT log, %s, max(size), repeat('0', 64), '', now()"
        " FROM audit_checkpoint GROUP BY log",
        archive.until,
    )
    tamper("UPDATE audit_entry SET body = '' WHERE log = 'main' AND seq > %s", archive.until)
    assert verify(connection=connection).first_bad_seq == archive.until + 1


def test_what_is_under_legal_hold_keeps_its_text_until_the_hold_is_removed(archive, remove, live_world):
    hold = add_legal_hold(
        actor=ARCHIVER, period=(OLD, OLD + dt.timedelta(days=1)), reason="case 7", now=clock.now()
    )
    assert remove() == 0
    remove_legal_hold(actor=ARCHIVER, number=hold.pk, reason="settled", now=clock.now())
    person = add_legal_hold(actor=ARCHIVER, identity="alice", reason="case 8", now=clock.now())
    assert remove() == 1, "all others name alice"
    remove_legal_hold(actor=ARCHIVER, number=person.pk, reason="settled", now=clock.now())
    assert remove() == archive.until - 1


def test_nothing_is_removed_that_no_archive_has_or_whose_archive_is_altered(archive, remove, store, tmp_path):
    with pytest.raises(NotArchived):
        remove_archived(until=archive.until + 1, store=store, now=clock.now())
    with pytest.raises(NotArchived):
        remove(store=None)
    path = path_of(archive, tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"alice", b"erica")))
    with pytest.raises(AltersArchive):
        remove()
    assert not AuditEntry.objects.filter(body="").exists()


def test_the_application_removes_no_text(archive):
    with pytest.raises(Exception, match="permission denied"):
        list(remove_texts(connection, Part(0, archive.until), Held()))


def test_new_entries_stay(archive, store, owner_connection):
    make_checkpoint(now=clock.now())
    newer = store_archive(into=store, now=clock.now())
    with pytest.raises(Exception, match="last ninety days"):
        list(remove_texts(owner_connection, Part(0, newer.until), Held()))


def test_pages_and_the_api_show_that_an_entry_is_archived(archive, remove, live_world):
    remove()
    page = just_signed_in(Client(), live_world.admin)
    assert "The text of this entry is archived." in page.get("/record/?event=grant.ended").content.decode()
    shown = [EntryShape(entry).data for entry in AuditEntry.objects.filter(event="grant.ended")]
    assert {(one["archived"], bool(one["data"])) for one in shown} == {(True, False), (False, True)}


def test_an_export_of_what_is_archived_says_where_it_is(archive, remove, tmp_path):
    remove()
    with pytest.raises(CommandError, match="Use the archives"):
        call_command("audit_export", str(tmp_path / "all.jsonl"), stderr=sys.stderr)
    make_checkpoint(now=clock.now())
    call_command("audit_export", str(tmp_path / "new.jsonl"), "--from", f"{OLD:%Y}-06", stdout=sys.stderr)


def test_archives_follow_each_other_and_end_with_a_checkpoint(archive):
    for after, until in ((0, archive.until), (archive.until, archive.until + 1)):
        with pytest.raises(Exception, match="is refused"):
            AuditArchive.objects.create(
                log=MAIN_LOG, after=after, until=until, sha256="0" * 64, object="", at=OLD
            )
