"""Checkpoints: signed as the standard says, over the tree of all entries, kept twice, and never of a second
history.
"""

import base64
import datetime as dt
from collections.abc import Callable
from io import StringIO

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management import CommandError, call_command
from django.db import connection, connections, transaction

from broker.audit.checkpoint import (
    CheckpointRefused,
    checkpoint_is_due,
    make_checkpoint,
    newest_checkpoint,
)
from broker.audit.checkpoint_key import CheckpointKeyMissing, NotACheckpointKey, known_signer, signer
from broker.audit.diagnose import Problem
from broker.audit.kept_outside import last_kept
from broker.audit.last_signed import compare_with_signed
from broker.audit.models import AuditCheckpoint, AuditEntry, AuditKey, AuditTree
from broker.audit.queries import checkpoint_trouble
from broker.audit.signed import newest_signed
from broker.audit.signed_note import Statement, checkpoint_text, is_signed, read, sign, verifier_key
from broker.audit.tree import Tree
from broker.audit.verify import Verdict, verify
from broker.kernel.crypto import CannotDecrypt
from tests.broker.audit.build import AT, bulk_build, rechain

Tamper = Callable[..., None]
NAME = "jit.example.com/audit"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def build(count: int) -> int:
    return bulk_build(connection, count)


def whole_tree() -> Tree:
    rows = AuditEntry.objects.filter(log="main").order_by("seq").values_list("hash", flat=True)
    return Tree.over(bytes(row) for row in rows)


def made() -> AuditCheckpoint:
    checkpoint = make_checkpoint(now=AT)
    assert checkpoint is not None
    return checkpoint


class TestTheNote:
    """The text and its signature are those of C2SP."""

    def test_it_is_the_published_one(self):
        text = f"{NAME}\n8\nXcnaeacGWamtVZy3Ad7ZoqudgjqtL0lgz+Nw7/RgQyg=\n"
        assert (
            sign(text, name=NAME, key=KEY) == text + f"\n— {NAME}"
            " kmpgWaGeQqziuNsxBRmTLC20vyoAadkNFTHl/xJSlUddMwqxjPkfn6mVJ4YLKZR1Xb4plaebIpmLwUEpQsilELYd6QM=\n"
        )

    def test_the_verifier_key_is_the_published_one(self):
        assert (
            verifier_key(NAME, KEY.public_key())
            == f"{NAME}+926a6059+AQOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
        )
        public = base64.b64decode("AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k")[1:]
        foo = verifier_key("example.com/foo", Ed25519PublicKey.from_public_bytes(public))
        assert foo == "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"

    def test_it_says_what_was_signed_and_by_whom(self):
        said = Statement(NAME, 8, bytes(32))
        note = sign(checkpoint_text(said, AT), name=NAME, key=KEY)
        assert read(note) == said
        assert "\ntime 2026-11-25T09:30:00Z\n" in note
        assert is_signed(note, name=NAME, key=KEY.public_key())
        assert not is_signed(note, name="other", key=KEY.public_key())
        assert not is_signed(note, name=NAME, key=Ed25519PrivateKey.generate().public_key())
        assert not is_signed(note.replace("\n8\n", "\n9\n"), name=NAME, key=KEY.public_key())

    @pytest.mark.parametrize("text", ["", "a\n", "a\n08\nx\n", "a\n8\nAAAA\n\n— a AAAA\n"])
    def test_what_is_no_checkpoint_is_said(self, text):
        with pytest.raises(ValueError, match="not a checkpoint"):
            read(text)


def test_a_checkpoint_is_of_all_entries_and_verifies(db, kept):
    build(5)
    checkpoint = made()
    tree, by = whole_tree(), signer(now=AT)
    assert (checkpoint.size, bytes(checkpoint.root)) == (tree.size, tree.root())
    assert read(checkpoint.note) == Statement(by.name, tree.size, tree.root())
    assert is_signed(checkpoint.note, name=by.name, key=by.key.public_key())
    assert newest_checkpoint() == checkpoint
    assert last_kept() == checkpoint.note


def test_each_goes_on_from_the_one_before(db, kept):
    for count in (3, 4, 1):
        build(count)
        checkpoint = made()
        assert bytes(checkpoint.root) == whole_tree().root()
    notes = [row.note for row in AuditCheckpoint.objects.order_by("size")]
    assert kept.read_text() == "\n".join([*notes, ""])


def test_a_tree_that_was_altered_or_lost_is_built_again_from_all_entries(db):
    build(5)
    made()
    for harm in ({"peaks": b"nonsense"}, {"size": 1}, {"peaks": bytes(64)}):
        AuditTree.objects.update(**harm)
        build(1)
        assert bytes(made().root) == whole_tree().root()
    AuditTree.objects.all().delete()
    build(1)
    assert bytes(made().root) == whole_tree().root()


def test_one_process_makes_it_at_a_time(stint_db):
    build(3)
    signer(now=AT)
    other = connections["default"].copy()
    try:
        with transaction.atomic(), other.cursor() as cursor:
            cursor.execute("BEGIN; SELECT pg_advisory_xact_lock(%s)", [0x5354_4350])
            assert make_checkpoint(now=AT) is None
            cursor.execute("ROLLBACK")
    finally:
        other.close()
    assert make_checkpoint(now=AT) is not None


class TestNoSecondHistory:
    """What was signed once is never contradicted by what is signed next."""

    def test_not_after_entries_were_replaced_and_the_tree_lost(self, tamper):
        build(5)
        made()
        AuditTree.objects.all().delete()
        tamper("UPDATE audit_entry SET hash = sha256('') WHERE log = 'main' AND seq = 2")
        build(1)
        with pytest.raises(CheckpointRefused, match="does not follow entry"):
            make_checkpoint(now=AT)

    def test_not_after_the_end_was_replaced(self, tamper):
        build(5)
        last = made().size
        rechain(tamper, last - 1, last)
        build(2)
        with pytest.raises(CheckpointRefused, match=f"Entry {last + 1:,} does not follow entry {last:,}"):
            make_checkpoint(now=AT)
        AuditTree.objects.all().delete()
        with pytest.raises(CheckpointRefused, match="do not match the newest checkpoint"):
            make_checkpoint(now=AT)

    def test_not_after_an_older_backup_was_restored(self, tamper, kept):
        build(5)
        old = made()
        build(5)
        made()
        tamper("DELETE FROM audit_checkpoint WHERE size > %s", old.size)
        AuditTree.objects.all().delete()
        build(20)
        with pytest.raises(
            CheckpointRefused, match="does not match this record: an older backup was restored"
        ):
            make_checkpoint(now=AT)
        kept.rename(kept.with_suffix(".evidence"))
        with pytest.raises(CheckpointRefused, match="older backup"):
            make_checkpoint(now=AT)
        assert not kept.exists()

    def test_not_behind_a_file_that_can_not_be_read(self, db, kept):
        kept.parent.mkdir()
        kept.write_text("something\n\nelse\n\n")
        build(1)
        with pytest.raises(CheckpointRefused, match="can't be read"):
            make_checkpoint(now=AT)


def test_a_checkpoint_that_was_half_written_outside_is_passed_over(db, kept):
    build(1)
    whole = made().note
    with kept.open("a") as file:
        file.write(whole[:40])
    assert last_kept() == whole


class TestTheFileOutside:
    """What could not be written is written later: in order, nothing lost, nothing twice."""

    def test_what_could_not_be_written_is_written_as_soon_as_it_can(self, db, kept):
        kept.parent.write_text("a file where the folder should be")
        for _ in range(3):
            build(1)
            with pytest.raises(OSError, match="exists"):
                make_checkpoint(now=AT)
        kept.parent.unlink()
        assert make_checkpoint(now=AT) is None
        assert kept.read_text() == all_notes()
        build(1)
        made()
        assert kept.read_text() == all_notes()

    def test_since_when_it_fails_is_kept_until_it_does_not(self, db, kept):
        kept.parent.write_text("")
        for minute in range(2):
            build(1)
            with pytest.raises(OSError, match="exists"):
                make_checkpoint(now=AT + dt.timedelta(minutes=minute))
        trouble = checkpoint_trouble()
        assert trouble is not None
        assert (trouble.since, str(kept.parent) in trouble.error) == (AT, True)
        kept.parent.unlink()
        make_checkpoint(now=AT)
        assert checkpoint_trouble() is None

    def test_a_refusal_to_sign_is_kept_as_well(self, db, kept):
        kept.parent.mkdir()
        kept.write_text("something\n\nelse\n\n")
        build(1)
        with pytest.raises(CheckpointRefused):
            make_checkpoint(now=AT)
        trouble = checkpoint_trouble()
        assert trouble is not None
        assert "can't be read" in trouble.error

    @pytest.mark.parametrize("before", [0, 1])
    def test_one_that_was_torn_anywhere_is_written_to_its_end(self, db, kept, before):
        for _ in range(before + 1):
            build(1)
            made()
        text = kept.read_bytes()
        last = len(newest_checkpoint().note.encode()) + 1
        for left in range(last):
            kept.write_bytes(text[: len(text) - last + left])
            assert make_checkpoint(now=AT) is None
            assert kept.read_bytes() == text

    def test_what_is_torn_and_not_of_this_record_stays_and_is_said(self, db, kept):
        build(1)
        made()
        with kept.open("a") as file:
            file.write("half of something")
        build(1)
        with pytest.raises(OSError, match="does not end with a checkpoint of this record"):
            make_checkpoint(now=AT)
        assert kept.read_text().endswith("half of something")


def all_notes() -> str:
    notes = AuditCheckpoint.objects.filter(log="main").order_by("size").values_list("note", flat=True)
    return "".join(f"{note}\n" for note in notes)


class TestTheKey:
    """Sealed in the database, or given."""

    def test_it_is_made_once_and_its_making_is_in_the_record(self, db):
        first = signer(now=AT)
        assert signer(now=AT).verifier == first.verifier == known_signer().verifier
        entry = AuditEntry.objects.filter(event="record.key_created").get()
        assert entry.data == {"verifier": first.verifier}

    def test_it_is_sealed(self, db, settings):
        secret = signer(now=AT).key.private_bytes_raw()
        assert secret not in bytes(AuditKey.objects.get().sealed_private_key)
        settings.SECRET_KEY = "another"
        with pytest.raises(CannotDecrypt):
            signer(now=AT)

    def test_one_that_is_gone_is_not_made_again(self, tamper):
        build(1)
        made()
        tamper("DELETE FROM audit_key")
        build(1)
        with pytest.raises(CheckpointKeyMissing):
            make_checkpoint(now=AT)

    def test_one_that_is_given_signs(self, db, settings):
        pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
        settings.CHECKPOINT_KEY = pem.strip()
        build(1)
        assert is_signed(made().note, name=settings.RECORD_ORIGIN, key=KEY.public_key())
        assert not AuditKey.objects.exists()

    def test_what_is_no_key_is_said(self, db, settings):
        other = generate_private_key(SECP256R1())
        for pem in (
            "nonsense",
            other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        ):
            settings.CHECKPOINT_KEY = pem
            with pytest.raises(NotACheckpointKey, match="openssl genpkey"):
                signer(now=AT)


class TestVerification:
    """`audit_verify` compares the record with what was signed last, in the database and outside."""

    @pytest.mark.parametrize("count", [1022, 1023, 1024, 2500])
    def test_a_long_record_is_compared_at_every_size(self, db, kept, count):
        build(count)
        made()
        kept.rename(kept.with_suffix(".older"))
        build(1)
        assert verify(connection=connection).ok
        AuditCheckpoint.objects.create(
            log="main", size=count + 2, root=bytes(32), at=AT, note=signed(count + 2, bytes(32))
        )
        verdict = verify(connection=connection)
        assert (verdict.ok, verdict.problem) == (False, Problem.CHECKPOINT)

    @pytest.mark.parametrize("onward", [False, True], ids=["all of it", "going on"])
    def test_a_chain_that_was_rewritten_with_its_head_is_noticed(self, tamper, onward):
        build(5)
        size = made().size
        last = build(1)
        rechain(tamper, 3, last)
        verdict = verify(connection=connection, from_seq=last + 1 if onward else 0)
        assert (verdict.ok, verdict.problem, verdict.signed) == (False, Problem.CHECKPOINT, None)
        assert f"The first {size:,} entries do not match the " in verdict.detail

    @pytest.mark.parametrize("onward", [False, True], ids=["all of it", "going on"])
    def test_a_backup_that_was_restored_is_noticed_by_the_file_outside(self, db, kept, onward):
        last = build(5)
        kept.parent.mkdir()
        kept.write_text(signed(last + 100, bytes(32)) + "\n")
        verdict = verify(connection=connection, from_seq=last + 1 if onward else 0)
        assert (verdict.problem, verdict.first_bad_seq) == (Problem.CHECKPOINT, verdict.head_seq + 1)
        assert f"but {last + 100:,} entries were signed in the last checkpoint in {kept}" in verdict.detail

    def test_a_checkpoint_of_another_key_is_noticed(self, tamper):
        build(5)
        checkpoint = made()
        text = checkpoint_text(read(checkpoint.note), AT)
        forged = sign(text, name=read(checkpoint.note).origin, key=Ed25519PrivateKey.generate())
        tamper("UPDATE audit_checkpoint SET note = %s", forged)
        verdict = verify(connection=connection)
        assert (verdict.problem, "another key" in verdict.detail) == (Problem.CHECKPOINT, True)


class TestGoingOn:
    """A verification that goes on from an earlier one looks at what was signed too, without reading all."""

    def onwards(self, last: int) -> Verdict:
        return verify(connection=connection, from_seq=last + 1)

    @pytest.mark.parametrize("count", [1, 6, 7, 8])
    def test_the_newest_checkpoint_is_compared_by_the_last_entries_under_it(self, db, count):
        build(count)
        size = made().size
        last = build(3)
        verdict = self.onwards(last)
        assert (verdict.ok, verdict.entries, verdict.signed) == (True, 0, size)

    def test_an_older_one_outside_has_to_be_one_of_this_record(self, tamper, kept):
        build(1)
        old = made()
        last = build(1)
        made()
        kept.write_text(f"{old.note}\n")
        assert self.onwards(last).signed == last
        kept.write_text(signed(old.size, bytes(32)) + "\n")
        assert self.onwards(last).problem == Problem.CHECKPOINT

    def test_a_checkpoint_that_was_changed_is_noticed(self, tamper):
        last = build(5)
        made()
        tamper("UPDATE audit_checkpoint SET note = replace(note, 'time 2', 'time 1')")
        assert "Not signed with this installation's key" in self.onwards(last).detail

    def test_without_the_tree_only_all_entries_can_tell(self, db):
        last = build(5)
        made()
        AuditTree.objects.update(peaks=b"nonsense")
        assert (self.onwards(last).ok, self.onwards(last).signed) == (True, None)
        AuditTree.objects.all().delete()
        assert (
            compare_with_signed(newest_signed(log="main", using="default"), log="main", using="default")
            is None
        )


def test_the_command_prints_the_newest_checkpoint_and_the_key(db):
    build(1)
    assert read(run()).size == newest_checkpoint().size
    assert run() == newest_checkpoint().note
    assert run("--key").strip() == signer(now=AT).verifier


def test_the_command_says_why_nothing_is_signed(db, settings):
    settings.CHECKPOINT_KEY = "nonsense"
    with pytest.raises(CommandError, match="not an unencrypted PEM private key"):
        run()


def signed(size: int, root: bytes) -> str:
    by = signer(now=AT)
    return sign(checkpoint_text(Statement(by.name, size, root), AT), name=by.name, key=by.key)


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("audit_checkpoint", *arguments, stdout=out)
    return out.getvalue()


def test_the_next_one_is_due_before_a_minute_is_over_whichever_worker_made_the_last(db):
    build(3)
    assert checkpoint_is_due(now=AT)
    make_checkpoint(now=AT)
    assert not checkpoint_is_due(now=AT + dt.timedelta(hours=1))
    build(1)
    assert [checkpoint_is_due(now=AT + dt.timedelta(seconds=s)) for s in (49, 50)] == [False, True]
