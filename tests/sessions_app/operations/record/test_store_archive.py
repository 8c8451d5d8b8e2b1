"""The record is copied to the store each day, as archives that anyone can verify."""

import datetime as dt
import hashlib

import pytest
from django.core.management import call_command

from broker.audit import offline
from broker.audit.checkpoint import make_checkpoint
from broker.audit.checkpoint_key import signer
from broker.audit.models import AuditArchive
from broker.doctor.finding import Level
from broker.doctor.machine import of_archives
from broker.kernel import clock
from sessions_app import tasks
from sessions_app.operations.record.store_archive import archive_is_due, store_archive
from sessions_app.storage.base import StoreError
from sessions_app.storage.folder import Folder
from sessions_app.storage.s3 import S3
from tests.support.servers.objects import BUCKET, objects_served
from tests.support.world import acts


def verified(path, *more) -> bool:
    key = signer(now=clock.now()).verifier
    return offline.main([str(path), "--key", key, "--part", *more]) == 0


def test_archives_follow_each_other_and_each_has_the_digest_of_its_content_as_its_name(world, tmp_path):
    store = Folder(tmp_path)
    assert store_archive(into=store, now=clock.now()) is None, "nothing is signed"
    made = []
    for _ in range(2):
        world.grant()
        make_checkpoint(now=clock.now())
        made.append(store_archive(into=store, now=clock.now()))
    assert store_archive(into=store, now=clock.now()) is None
    assert made[0].until == made[1].after > made[0].after == 0
    for archive in made:
        content = (tmp_path / archive.object).read_bytes()
        assert archive.object == f"record/{hashlib.sha256(content).hexdigest()}.jsonl.gz"
        assert verified(tmp_path / archive.object)
    assert acts.last("record.archived", "main").data["until"] == made[1].until


def test_a_store_that_fails_leaves_nothing_behind(world, tmp_path):
    make_checkpoint(now=clock.now())
    with pytest.raises(StoreError):
        store_archive(into=Folder(tmp_path / "not there"), now=clock.now())
    assert not AuditArchive.objects.exists()


def test_the_worker_does_it_once_a_day(world, tmp_path, settings, monkeypatch):
    monkeypatch.setattr(tasks._clerks, "start", lambda _name, does: does())
    settings.RECORD_STORE = f"file://{tmp_path}"
    make_checkpoint(now=clock.now())
    for _ in range(2):
        tasks.archive()
        make_checkpoint(now=clock.now())
    assert AuditArchive.objects.count() == 1
    assert archive_is_due(now=clock.now() + dt.timedelta(days=1))


def test_the_doctor_says_whether_the_store_accepts_archives(settings, tmp_path):
    settings.RECORD_STORE = f"file://{tmp_path}"
    assert [finding.level for finding in of_archives()] == [Level.OK]
    settings.RECORD_STORE = f"file://{tmp_path / 'not there'}"
    assert [finding.level for finding in of_archives()] == [Level.WRONG]


def test_without_a_store_it_goes_to_a_file(world, tmp_path, capsys):
    make_checkpoint(now=clock.now())
    month = f"{clock.now() + dt.timedelta(days=32):%Y-%m}"
    call_command("audit_archive", "--before", month, "--file", str(tmp_path / "a.gz"), "--keep")
    assert "Archived entries 1 to" in capsys.readouterr().out
    assert verified(tmp_path / "a.gz")


@pytest.mark.processes
def test_a_bucket_keeps_it(world, tmp_path, processes):
    with pytest.MonkeyPatch.context() as patch, objects_served(patch) as served:
        make_checkpoint(now=clock.now())
        archive = store_archive(into=S3(BUCKET, "prod/"), now=clock.now())
        assert served.everything() == [f"prod/{archive.object}"]
        served.client.download_file(BUCKET, f"prod/{archive.object}", str(tmp_path / "a.gz"))
        assert verified(tmp_path / "a.gz")
