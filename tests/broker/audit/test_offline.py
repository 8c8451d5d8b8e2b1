"""The single-file verifier names what was done to a record, from an export alone, without Stint and its
packages.
"""

import datetime as dt
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.core.management import CommandError, call_command
from django.db import connection
from hypothesis import given
from hypothesis import strategies as st

from broker.audit import offline
from broker.audit.actor import Actor
from broker.audit.checkpoint import make_checkpoint
from broker.audit.checkpoint_key import signer
from broker.audit.events import Event
from broker.audit.export import Part, export_part
from broker.audit.models import AuditCheckpoint, AuditEntry, AuditKey, AuditTree
from broker.audit.record import record
from broker.audit.signed_note import Statement, checkpoint_text, read, sign, verifier_key
from broker.kernel import clock
from tests.broker.audit.build import AT, bulk_build, rechain
from tests.environment import ROOT

pytestmark = pytest.mark.processes

Tamper = Callable[..., None]
VERIFIER = ROOT / "broker" / "audit" / "offline.py"


class Exported:
    """A record of 13 entries with two checkpoints, and what the verifier says of it."""

    def __init__(self, folder: Path, kept: Path, tamper: Tamper) -> None:
        self.file = folder / "record.jsonl"
        self.kept = kept
        self.tamper = tamper
        self.key = signer(now=AT).verifier
        bulk_build(connection, 7)
        make_checkpoint(now=AT)
        bulk_build(connection, 5, first=101)

    def export(self) -> None:
        self.file.unlink(missing_ok=True)
        call_command("audit_export", str(self.file), stdout=sys.stderr, stderr=sys.stderr)

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.file.read_text().splitlines()]

    def write(self, lines: list[dict[str, Any]]) -> None:
        dumped = (json.dumps(line, ensure_ascii=False, separators=(",", ":")) for line in lines)
        self.file.write_text("".join(f"{line}\n" for line in dumped))

    def said(self, *more: str, outside: Path | None = None, key: str = "") -> str:
        """What is said of the file, the status checked."""
        arguments = [
            sys.executable,
            "-I",
            "-S",
            str(VERIFIER),
            str(self.file),
            "--key",
            key or self.key,
            *more,
        ]
        if outside:
            arguments += ["--checkpoints", str(outside)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd="/")
        assert done.stderr == ""
        assert done.returncode == (0 if done.stdout.startswith("intact: ") else 1)
        return done.stdout

    def said_anew(self, **given: Any) -> str:
        self.export()
        return self.said(**given)


@pytest.fixture
def exported(tamper, kept, tmp_path):
    return Exported(tmp_path, kept, tamper)


class TestParts:
    """Months of the record, each a file of its own."""

    @pytest.fixture
    def parts(self, exported, tmp_path):
        """A part with the first 8 entries, and one with what came after them."""
        make_checkpoint(now=AT)
        first, last = AuditCheckpoint.objects.order_by("size").values_list("size", flat=True)
        assert first == 8
        files = []
        for part in (Part(0, 8), Part(8, last)):
            files.append(tmp_path / f"part-{part.until}.jsonl")
            files[-1].write_text("".join(export_part(part)))
        exported.file = files[-1]
        return files

    def test_the_command_writes_what_was_signed_in_the_months_that_it_names(self, exported):
        first, following = f"{AT:%Y-%m}", f"{clock.now().replace(day=1) + dt.timedelta(days=31):%Y-%m}"
        for words in ([f"--before={first}"], [f"--from={following}"]):
            with pytest.raises(CommandError, match="Nothing was signed in these months"):
                call_command("audit_export", str(exported.file), *words)
        call_command("audit_export", str(exported.file), f"--from={first}", f"--before={following}")
        assert "(the part from 1 to " in exported.said("--part", outside=exported.kept)

    def test_each_is_verified_alone_and_the_second_begins_where_the_first_ends(self, exported, parts):
        first, second = (json.loads(file.read_text().splitlines()[0])["after"] for file in parts)
        assert first is None
        assert second["checkpoint"] == json.loads(parts[0].read_text().splitlines()[-2])["checkpoint"]
        for exported.file, part in zip(
            parts, ("(the part from 1 to 8)", "(the part from 9 to "), strict=True
        ):
            assert part in exported.said("--part")
            assert part in exported.said("--part", outside=exported.kept)

    @pytest.mark.parametrize(
        ("alter", "kind"),
        [
            (lambda lines: lines.pop(1), "missing-entry"),
            (lambda lines: lines[0]["after"].update(peaks=["00" * 32]), "rewritten-chain"),
            (lambda lines: lines[0]["after"]["peaks"].pop(), "rewritten-chain"),
            (lambda lines: lines[0]["after"].update(hash="00" * 32), "rewritten-chain"),
            (lambda lines: lines[0]["after"].update(checkpoint=lines[-2]["checkpoint"]), "rewritten-chain"),
            (lambda lines: lines[0]["after"].pop("peaks"), "unreadable"),
            (lambda lines: lines[1].update(body=lines[1]["body"] + " "), "altered-entry"),
        ],
    )
    def test_an_altered_part_is_not_intact(self, exported, parts, alter, kind):
        lines = exported.lines()
        alter(lines)
        exported.write(lines)
        assert exported.said("--part").startswith(f"{kind}: ")

    def test_a_part_is_not_taken_for_the_whole_record_nor_the_other_way_round(self, exported, parts):
        assert exported.said() == "unreadable: This is an export of a part of the record. Use --part.\n"
        exported.export()
        assert exported.said("--part") == "unreadable: This is an export of the whole record. Omit --part.\n"


def test_an_intact_record_is_intact(exported):
    said = exported.said_anew(outside=exported.kept)
    assert said.startswith("intact: 13 entries, 2 checkpoints, the last signed at ")
    assert said.endswith("All 2 checkpoints kept outside match this record.\n")
    assert (
        "An older backup or a second signed history can't be detected without --checkpoints"
        in exported.said()
    )


def test_texts_of_every_kind_are_exported_exactly(exported):
    from django.db import transaction

    text = 'Zoë — "quoted" \\ back\u2028slash\n\t\x01 🔑 </script>'
    with transaction.atomic():
        record(
            event=Event.REQUEST_COMMENTED,
            actor=Actor(name="zoë", id=7, kind="person"),
            object_type="request",
            object_ref="REQ-1",
            data={"text": text},
            now=AT,
        )
    assert exported.said_anew().startswith("intact: 14 entries")


def swapping(*columns):
    """SQL that puts what entries 4 and 6 have in these columns in each other's place."""
    others = ", ".join(f"o.{column}" for column in columns)
    return (
        f"UPDATE audit_entry e SET ({', '.join(columns)}) = ROW({others}) FROM audit_entry o"
        " WHERE e.log = 'main' AND o.log = 'main' AND e.seq IN (4, 6) AND o.seq = 10 - e.seq"
    )


class TestInTheDatabase:
    """What somebody who owns the database did to it shows in the next export."""

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (
                "UPDATE audit_entry SET body = replace(body, 'alice', 'bob') WHERE seq = 5 AND log = 'main'",
                "altered-entry: Entry 5 was altered.\n",
            ),
            (
                "DELETE FROM audit_entry WHERE seq IN (5, 6) AND log = 'main'",
                "missing-entry: Entries 5 to 6 are missing.\n",
            ),
            *(
                (swapping(*columns), "swapped-entries: Entry 4 was originally entry 6.\n")
                for columns in (["body"], ["body", "hash"], ["body", "prev_hash", "hash"])
            ),
            (
                "UPDATE audit_checkpoint SET note = replace(note, 'time 2026', 'time 2025')",
                "altered-checkpoint: The checkpoint in line 10 (of 8 entries) has an invalid signature",
            ),
        ],
    )
    def test_what_was_altered_taken_out_or_swapped_is_named(self, exported, change, said):
        exported.tamper(change)
        assert exported.said_anew().startswith(said)

    def test_the_end_was_cut(self, exported):
        make_checkpoint(now=AT)
        exported.tamper("DELETE FROM audit_entry WHERE seq > 10 AND log = 'main'")
        said = "cut-tail: The checkpoint in line 13 (of 13 entries) is signed, but the export has only 10."
        assert exported.said_anew().startswith(said)

    @pytest.mark.parametrize(
        ("last", "said"),
        [
            (5, "Entry 6 does not follow entry 5"),
            (13, "The checkpoint in line 10 (of 8 entries) does not match these entries"),
        ],
        ids=["one entry with its hash", "the chain with its head"],
    )
    def test_entries_were_rewritten(self, exported, last, said):
        rechain(exported.tamper, 5, last)
        assert exported.said_anew().startswith(f"rewritten-chain: {said}")

    def test_everything_was_rewritten_and_signed_with_another_key(self, exported):
        rechain(exported.tamper, 5, 13)
        exported.tamper("DELETE FROM audit_checkpoint")
        exported.tamper("DELETE FROM audit_key")
        AuditTree.objects.all().delete()
        exported.kept.unlink()
        assert signer(now=AT).verifier != exported.key
        said = exported.said_anew()
        assert said.startswith(
            "another-key: The checkpoint in line 16 (of 14 entries) was signed with another key"
        )

    def test_a_second_history_was_signed_with_the_same_key(self, exported):
        outside = exported.kept.rename(exported.kept.with_suffix(".copy"))
        rechain(exported.tamper, 5, 13)
        exported.tamper("DELETE FROM audit_checkpoint")
        AuditTree.objects.all().delete()
        assert exported.said_anew().startswith("intact: ")
        said = exported.said(outside=outside)
        assert said.startswith("two-histories: Checkpoint 1 in ")
        assert said.endswith("(of 8 entries) does not match the entries of this export.\n")

    def test_an_older_backup_was_restored(self, exported):
        backup = exported.file.with_name("backup.jsonl")
        exported.export()
        exported.file.rename(backup)
        bulk_build(connection, 5)
        exported.export()
        backup.rename(exported.file)
        assert exported.said().startswith("intact: 13 entries")
        said = exported.said(outside=exported.kept)
        assert said.startswith("older-backup: Checkpoint 3 in ")
        assert said.endswith(
            "(of 19 entries) is kept outside the database, but the export has only 13. If the checkpoint is"
            " newer than the export, export the record again.\n"
        )

    def test_the_newest_checkpoints_were_taken_out_and_their_entries_rewritten(self, exported):
        exported.export()
        exported.tamper("DELETE FROM audit_checkpoint WHERE size > 8")
        # Each export is an entry as well.
        rechain(exported.tamper, 10, 14)
        said = exported.said_anew()
        assert said.startswith("unsigned-tail: Entries 9 to 15 are not covered by a checkpoint.")


class TestInTheFile:
    """What somebody did to the file."""

    def test_each_byte_that_is_flipped_is_noticed(self, exported):
        exported.export()
        lines = exported.lines()
        short = [*lines[:2], lines[-2], {"end": 1}]
        note = sign(
            checkpoint_text(Statement("stint", 1, root_of(lines[1]["hash"])), AT),
            name="stint",
            key=OTHER,
        )
        short[2] = {"checkpoint": note}
        exported.write(short)
        key = verifier_key("stint", OTHER.public_key())
        whole = exported.file.read_bytes()
        assert verdict_on(exported.file, key) == 0
        for place in range(len(whole)):
            for bit in (0x01, 0x02, 0x20):
                flipped = bytearray(whole)
                flipped[place] ^= bit
                exported.file.write_bytes(flipped)
                assert verdict_on(exported.file, key) == 1, (place, bit, whole[place - 20 : place + 20])

    def test_the_end_was_cut(self, exported):
        exported.export()
        lines = exported.lines()
        exported.write(lines[:-1])
        assert exported.said().startswith("cut-tail: The export has 13 entries, but has no count at its end.")
        exported.write([*lines[:10], lines[-1]])
        assert exported.said().startswith("cut-tail: The export has 8 entries, but its count is 13.")

    def test_lines_were_swapped_or_added(self, exported):
        exported.export()
        lines = exported.lines()
        exported.write([*lines[:3], lines[4], lines[3], *lines[5:]])
        assert exported.said().startswith("swapped-entries: Entry 4 is in the place of entry 3")
        exported.write([*lines[:4], lines[3], *lines[4:]])
        assert exported.said().startswith("added-entry: Entry 3 is repeated after entry 3.")

    @pytest.mark.parametrize("to", [2, -1])
    def test_a_checkpoint_is_not_in_its_place(self, exported, to):
        exported.export()
        lines = exported.lines()
        checkpoint = lines.pop(9)
        lines.insert(to, checkpoint)
        exported.write(lines)
        assert exported.said().startswith("unreadable: ")
        assert "is out of place" in exported.said()

    def test_it_is_another_file(self, exported):
        for content in ("", "\n", "{}\n", "[" * 100_000, '{"format":"x","log":"main"}\n', "\ud800"):
            exported.file.write_bytes(content.encode("utf-8", "surrogatepass"))
            assert exported.said().startswith(("unreadable: ", "cut-tail: "))


class TestOutside:
    """What is kept outside is verified as well."""

    @pytest.mark.parametrize(
        ("added", "said"),
        [
            (
                lambda said, by, kept: sign(checkpoint_text(said, AT), name=said.origin, key=OTHER) + "\n",
                "another-key: Checkpoint 3 in ",
            ),
            (
                lambda said, by, kept: (
                    sign(checkpoint_text(Statement(by.name, 8, bytes(32)), AT), name=by.name, key=by.key)
                    + "\n"
                ),
                "two-histories: Checkpoint 3 in ",
            ),
            (lambda said, by, kept: kept[:50], "intact: "),
        ],
        ids=["one of another key", "one that contradicts another", "one that is half written is passed over"],
    )
    def test_what_was_added_is_verified(self, exported, added, said):
        exported.export()
        newest, kept = read(AuditCheckpoint.objects.latest("size").note), exported.kept.read_text()
        exported.kept.write_text(kept + added(newest, signer(now=AT), kept))
        assert exported.said(outside=exported.kept).startswith(said)

    def test_a_file_of_none_is_unreadable(self, exported):
        exported.export()
        exported.kept.write_text("nothing")
        assert exported.said(outside=exported.kept).startswith("unreadable: ")


def test_a_key_that_took_over_is_given_beside_the_old_one(exported, settings):
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    settings.CHECKPOINT_KEY = OTHER.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    exported.export()
    assert exported.said().startswith("another-key: ")
    both = [exported.key, "--key", signer(now=AT).verifier]
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(exported.file), "--key", *both],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.startswith("intact: ")


@pytest.mark.parametrize("wrong", [["--key", "nonsense"], ["--key", "a+00000000+AAAA"], []])
def test_a_wrong_question_is_no_verdict(tmp_path, wrong):
    (tmp_path / "file").write_text("")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(VERIFIER), str(tmp_path / "file"), *wrong],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")


class TestEd25519:
    """The signature is that of RFC 8032."""

    VECTORS = [
        (
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ]

    @pytest.mark.parametrize(("public", "message", "signature"), VECTORS)
    def test_the_published_ones_are_taken(self, public, message, signature):
        given = bytes.fromhex(public), bytes.fromhex(message), bytes.fromhex(signature)
        assert offline.is_signature(*given)
        assert not offline.is_signature(given[0], given[1] + b"!", given[2])

    @given(st.binary(min_size=32, max_size=32), st.binary(max_size=40), st.integers(0, 511), st.booleans())
    def test_it_takes_and_refuses_what_the_library_does(self, seed, message, bit, in_the_key):
        key = Ed25519PrivateKey.from_private_bytes(seed)
        public, signature = bytearray(key.public_key().public_bytes_raw()), bytearray(key.sign(message))
        assert offline.is_signature(bytes(public), message, bytes(signature))
        (public if in_the_key else signature)[bit // 8 % (32 if in_the_key else 64)] ^= 1 << bit % 8
        assert offline.is_signature(bytes(public), message, bytes(signature)) == by_the_library(
            bytes(public), message, bytes(signature)
        )

    def test_a_signature_that_was_shifted_by_the_order_is_refused(self):
        public, message, signature = (bytes.fromhex(part) for part in self.VECTORS[0])
        s = int.from_bytes(signature[32:], "little") + offline.ORDER
        assert not offline.is_signature(public, message, signature[:32] + s.to_bytes(32, "little"))


OTHER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def by_the_library(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def root_of(entry: str) -> bytes:
    return hashlib.sha256(b"\0" + bytes.fromhex(entry)).digest()


def verdict_on(file: Path, key: str) -> int:
    return offline.main([str(file), "--key", key])


class TestExport:
    """The command that writes the file."""

    def test_it_overwrites_nothing(self, exported):
        exported.export()
        with pytest.raises(CommandError, match="can't be written: File exists"):
            call_command("audit_export", str(exported.file))

    def test_who_exports_is_in_the_record_before_the_file_is_written(self, exported):
        exported.export()
        entry = AuditEntry.objects.latest("seq")
        assert (entry.event, entry.actor) == ("record.exported", "system:audit_export")
        assert entry.data == {"file": str(exported.file), "until": 13}

    def test_only_its_owner_may_read_it(self, exported):
        exported.export()
        assert exported.file.stat().st_mode & 0o077 == 0

    def test_without_a_checkpoint_everything_is_written_and_it_is_said(self, exported, settings, capsys):
        settings.CHECKPOINT_KEY = "nonsense"
        exported.export()
        assert "No checkpoint was made" in capsys.readouterr().err
        assert exported.said().startswith("unsigned-tail: Entries 9 to 14")
        assert AuditKey.objects.exists()
