"""Verify an exported record with only this file and Python 3.9 or later.

    python3 offline.py record.jsonl --key KEY [--key KEY …] [--checkpoints FILE] [--part]

The export can be compressed with gzip.

With --part, the export is a part of the record, which begins after a checkpoint and ends with one. A set of
parts is complete if each part begins where another ends. For a part, checkpoints outside the database that
cover more entries are ignored.

KEY is the output of `manage.py audit_checkpoint --key` when Stint was set up. Use the copy that you saved
then, not the output of the machine under audit. FILE has checkpoints kept outside the database. The exit
status is 0 if the record is intact, and 2 for invalid usage. Otherwise it is 1, and the first word of the
output is the problem:

    unreadable          a line is not in the format of an export, or out of place
    altered-entry       an entry's text or hash was changed
    missing-entry       a number is missing
    swapped-entries     an entry is in the place of another one
    added-entry         an entry is repeated
    rewritten-chain     an entry's hash is valid, but does not match the previous entry or a signed checkpoint
    cut-tail            there are fewer entries than the export's count or a signed checkpoint
    unsigned-tail       the last entries are not covered by a checkpoint
    altered-checkpoint  a checkpoint's text or signature was changed
    another-key         a checkpoint was signed with another key
    two-histories       a checkpoint kept outside the database does not match these entries
    older-backup        a checkpoint kept outside the database has more entries than this export

This file deliberately shares no code with Stint, which it checks.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import hashlib
import json
import re
import sys
import zlib
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, BinaryIO

FORMAT = "stint-record-1"
# Bytes. An entry's data has at most 64 KiB before it is escaped twice as JSON.
LONGEST_LINE = 4 * 1024 * 1024


class Fault(Exception):
    """A problem: its kind, and a sentence that describes it."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


# --- Ed25519 (RFC 8032)
# ------------------------------------------------------------------------------------------

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
# A point in extended coordinates: X, Y, Z, T with x = X/Z, y = Y/Z, x*y = T/Z.
NEUTRAL = (0, 1, 1, 0)


def add(p: tuple[int, ...], q: tuple[int, ...]) -> tuple[int, ...]:
    """Return the sum of two points."""
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def double(p: tuple[int, ...]) -> tuple[int, ...]:
    """Return twice a point."""
    a, b = p[0] * p[0] % P, p[1] * p[1] % P
    h = a + b
    e, g = h - (p[0] + p[1]) ** 2 % P, a - b
    f = 2 * p[2] * p[2] % P + g
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def recover_x(y: int, sign: int) -> int | None:
    """Return the x coordinate of the point with this y, or None if there is none."""
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P or (x == 0 and sign):
        return None
    return P - x if x & 1 != sign else x


def decode_point(raw: bytes) -> tuple[int, ...] | None:
    """Return the point of a 32-byte encoding, or None if it is invalid."""
    number = int.from_bytes(raw, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    x = recover_x(y, sign) if y < P else None
    return None if x is None else (x, y, 1, x * y % P)


def encode_point(p: tuple[int, ...]) -> bytes:
    """Return the 32-byte encoding of a point."""
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


_BASE_Y = 4 * pow(5, P - 2, P) % P
_BASE_X = recover_x(_BASE_Y, 0) or 0
BASE = (_BASE_X, _BASE_Y, 1, _BASE_X * _BASE_Y % P)


def is_signature(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature of a message is valid for a public key."""
    key = decode_point(public) if len(public) == 32 and len(signature) == 64 else None
    s = int.from_bytes(signature[32:], "little")
    if key is None or s >= ORDER:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    # R = s*B - k*A, with both products computed together, from the highest bit down.
    minus_key = (P - key[0], key[1], 1, P - key[3])
    steps = (None, BASE, minus_key, add(BASE, minus_key))
    found: tuple[int, ...] = NEUTRAL
    for bit in range(252, -1, -1):
        found = double(found)
        step = steps[(s >> bit & 1) | (k >> bit & 1) << 1]
        if step is not None:
            found = add(found, step)
    return encode_point(found) == signature[:32]


# --- Signed notes and checkpoints (C2SP)
# -------------------------------------------------------------------------


class Key:
    """A verifier key of signed notes: name+id+key."""

    def __init__(self, text: str) -> None:
        """Parse a key. Raises ValueError if the text is not a key."""
        name, _, rest = text.strip().partition("+")
        identity, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            raw = b""
        expected = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        if not name or len(raw) != 33 or raw[:1] != b"\1" or expected.hex() != identity:
            raise ValueError(
                f"{text!r} is not a key. Use the output of `manage.py audit_checkpoint --key`: name+id+key."
            )
        self.name, self.identity, self.public = name, expected, raw[1:]


class Checkpoint:
    """A checkpoint with a verified signature."""

    def __init__(self, note: str, keys: list[Key], where: str) -> None:
        """Parse and verify a note. Raises Fault if it is not a checkpoint, was changed, or has no
        known key.
        """
        text, _, signatures = note.partition("\n\n")
        found = re.fullmatch(r"([^\n]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)((?:\n[^\n]+)*)", text)
        if found is None or not signatures.endswith("\n"):
            raise Fault("altered-checkpoint", f"{where} is not a checkpoint.")
        self.origin, self.size, root = found[1], int(found[2]), found[3]
        self.root = base64.b64decode(root)
        self.where = f"{where} (of {self.size:,} entries)"
        self.time = next((line[5:] for line in found[4].split("\n") if line.startswith("time ")), "")
        self._verify(text + "\n", signatures, keys)
        if base64.b64encode(self.root).decode() != root:
            raise Fault("altered-checkpoint", f"{self.where} has a root with an invalid encoding.")

    def _verify(self, text: str, signatures: str, keys: list[Key]) -> None:
        known = False
        for line in signatures[:-1].split("\n"):
            name, raw = signature_line(line, self.where)
            for key in keys:
                if (key.name, key.identity) == (name, raw[:4]):
                    known = True
                    if not is_signature(key.public, text.encode(), raw[4:]):
                        raise Fault(
                            "altered-checkpoint",
                            f"{self.where} has an invalid signature.",
                        )
        if not known:
            raise Fault("another-key", f"{self.where} was signed with another key.")
        if self.origin not in {key.name for key in keys}:
            raise Fault("another-key", f"{self.where} is of a different log, {self.origin}.")


def signature_line(line: str, where: str) -> tuple[str, bytes]:
    """Return the name and the raw signature, which begins with the key ID. Raises Fault."""
    found = re.fullmatch(r"— (\S+) ([A-Za-z0-9+/]+={0,2})", line)
    try:
        raw = base64.b64decode(found[2], validate=True) if found else b""
    except binascii.Error:
        raw = b""
    # Several strings decode to the same bytes; only the canonical one is valid.
    if found is None or base64.b64encode(raw).decode() != found[2] or len(raw) <= 4:
        raise Fault("altered-checkpoint", f"{where} has a malformed signature.")
    return found[1], raw


def kept_outside(path: str, keys: list[Key]) -> dict[int, Checkpoint]:
    """Return the checkpoints in a file by their size. Raises Fault, OSError."""
    with Path(path).open(encoding="utf-8", newline="\n") as file:
        try:
            parts = file.read().split("\n\n")
        except UnicodeDecodeError as error:
            raise Fault("altered-checkpoint", f"{path} is not valid text.") from error
    kept: dict[int, Checkpoint] = {}
    # The text after the last empty line may be incomplete.
    for number in range(0, len(parts) - 2, 2):
        where = f"Checkpoint {number // 2 + 1:,} in {path}"
        found = Checkpoint(f"{parts[number]}\n\n{parts[number + 1]}\n", keys, where)
        before = kept.setdefault(found.size, found)
        if before.root != found.root:
            raise Fault("two-histories", f"{found.where} contradicts another checkpoint of the same size.")
    if not kept:
        raise Fault("unreadable", f"{path} contains no checkpoint.")
    return kept


# --- The chain and the tree
# --------------------------------------------------------------------------------------


def entry_hash(prev: bytes, seq: int, body: str) -> bytes:
    """Return the hash of an entry."""
    return hashlib.sha256(b"stint-audit-entry-1\n" + prev + seq.to_bytes(8, "big") + body.encode()).digest()


class Tree:
    """The Merkle tree of RFC 9162, stored as the roots of its full subtrees."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def append(self, data: bytes) -> None:
        """Add a leaf."""
        node, size = hashlib.sha256(b"\0" + data).digest(), self.size
        while size & 1:
            node = hashlib.sha256(b"\1" + self.peaks.pop() + node).digest()
            size >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root hash."""
        if not self.peaks:
            return hashlib.sha256().digest()
        root = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            root = hashlib.sha256(b"\1" + peak + root).digest()
        return root


# --- The export
# --------------------------------------------------------------------------------------------------


class Entry:
    """An entry of an export."""

    def __init__(self, content: dict[str, Any], number: int) -> None:
        """Parse an entry. Raises Fault if the content is not an entry."""
        self.seq, self.body = content["seq"], content["body"]
        try:
            self.prev, self.hash = bytes.fromhex(content["prev"]), bytes.fromhex(content["hash"])
            self.body.encode()
        except (AttributeError, TypeError, ValueError) as error:
            raise Fault("unreadable", f"Line {number:,} is not an entry.") from error
        written = [self.prev.hex(), self.hash.hex()] == [content["prev"], content["hash"]]
        if not written or type(self.seq) is not int or not 0 < self.seq < 2**63 or len(self.prev) != 32:
            raise Fault("unreadable", f"Line {number:,} is not an entry.")

    def computed(self) -> bytes:
        """Return the hash computed from the entry's content."""
        return entry_hash(self.prev, self.seq, self.body)


def lines(file: BinaryIO) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's number and content. Raises Fault for a line that is not in the format of an
    export.
    """
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        try:
            text = line.decode()
            content = json.loads(text)
            exact = json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n"
        except (ValueError, RecursionError) as error:
            raise Fault("unreadable", f"Line {number:,} is not JSON.") from error
        if exact != text or not isinstance(content, dict):
            raise Fault("unreadable", f"Line {number:,} is not in the format of an export.")
        yield number, content


class Walk:
    """One pass over an export, from the first line to the last."""

    def __init__(
        self, file: BinaryIO, keys: list[Key], outside: dict[int, Checkpoint], *, part: bool = False
    ) -> None:
        self.file = file
        self.keys = keys
        self.outside = outside
        self.tree = Tree()
        self.first, self.part = 1, part
        self.last = b""
        self.checkpoints = 0
        self.newest: Checkpoint | None = None
        self.forked: Checkpoint | None = None
        self.end: int | None = None

    def run(self) -> None:
        """Read and verify the export. Raises the first Fault."""
        for number, content in lines(self.file):
            if number == 1:
                self._begin(content)
            elif self.end is not None:
                raise Fault("unreadable", f"Line {number:,} is after the end.")
            elif list(content) == ["seq", "prev", "hash", "body"]:
                self._entry(Entry(content, number), number)
            elif list(content) == ["checkpoint"] and isinstance(content["checkpoint"], str):
                self._checkpoint(content["checkpoint"], number)
            elif list(content) == ["end"] and type(content["end"]) is int:
                self.end = content["end"]
            else:
                raise Fault("unreadable", f"Line {number:,} is neither an entry nor a checkpoint.")
        self._finish()

    def _begin(self, content: dict[str, Any]) -> None:
        if (
            list(content) not in (["format", "log"], ["format", "log", "after"])
            or content["format"] != FORMAT
            or not isinstance(content["log"], str)
        ):
            raise Fault("unreadable", f"The first line does not begin a record of the format {FORMAT}.")
        self.last = hashlib.sha256(b"stint-audit-log-1\n" + content["log"].encode()).digest()
        if ("after" in content) != self.part:
            raise Fault(
                "unreadable",
                (
                    "This is an export of the whole record. Omit --part."
                    if self.part
                    else "This is an export of a part of the record. Use --part."
                ),
            )
        if content.get("after") is not None:
            self._begin_part(content["after"])

    def _begin_part(self, after: Any) -> None:
        """Start the verification at a part.

        The tree of the entries before the part must match its signed checkpoint.
        """
        try:
            note, peaks = after["checkpoint"], [bytes.fromhex(peak) for peak in after["peaks"]]
            self.last = bytes.fromhex(after["hash"])
        except (KeyError, TypeError, ValueError) as error:
            raise Fault(
                "unreadable", "The first line does not have the state at the beginning of this part."
            ) from error
        begins = Checkpoint(note, self.keys, "The checkpoint in line 1")
        self.tree.size, self.tree.peaks = begins.size, peaks
        sizes = [len(peak) for peak in peaks]
        if (
            sizes != [32] * f"{begins.size:b}".count("1")
            or len(self.last) != 32
            or self.tree.root() != begins.root
        ):
            raise Fault("rewritten-chain", f"{begins.where} does not match the beginning of this part.")
        self.first, self.newest = begins.size + 1, begins
        # Checkpoints of fewer entries belong to earlier parts.
        self.outside = {size: one for size, one in self.outside.items() if size >= begins.size}
        kept = self.outside.get(begins.size)
        if kept is not None and kept.root != begins.root:
            self.forked = kept

    def _entry(self, entry: Entry, number: int) -> None:
        expected = self.tree.size + 1
        if entry.seq != expected:
            raise self._out_of_place(entry, expected)
        if entry.hash != entry.computed():
            raise self._not_as_hashed(entry)
        if entry.prev != self.last:
            raise Fault(
                "rewritten-chain",
                (
                    f"Entry {entry.seq:,} does not follow entry {entry.seq - 1:,}: one of them was replaced."
                    if entry.seq > 1
                    else "Entry 1 does not link to the start of this log: the log was restarted."
                ),
            )
        if self.newest is not None and self.newest.size > self.tree.size:
            raise Fault("unreadable", f"Line {number - 1:,}: {self.newest.where} is out of place.")
        self.last = entry.hash
        self.tree.append(entry.hash)
        kept = self.outside.get(entry.seq)
        if kept is not None and self.forked is None and kept.root != self.tree.root():
            self.forked = kept

    def _out_of_place(self, entry: Entry, expected: int) -> Fault:
        if entry.seq < expected:
            return Fault("added-entry", f"Entry {entry.seq:,} is repeated after entry {expected - 1:,}.")
        if any(other.seq == expected for other in self._all_entries()):
            return Fault(
                "swapped-entries",
                f"Entry {entry.seq:,} is in the place of entry {expected:,}, which comes later.",
            )
        last = entry.seq - 1
        what = f"Entry {last:,} is" if last == expected else f"Entries {expected:,} to {last:,} are"
        return Fault("missing-entry", f"{what} missing.")

    def _not_as_hashed(self, entry: Entry) -> Fault:
        for other in self._all_entries():
            # A moved entry is valid under another number. If only its text was moved, with or without its
            # hash, the text matches another entry's link.
            there = entry_hash(other.prev, other.seq, entry.body)
            if other.seq != entry.seq and (
                there in {entry.hash, other.hash}
                or entry.hash == entry_hash(entry.prev, other.seq, entry.body)
            ):
                return Fault(
                    "swapped-entries",
                    f"Entry {entry.seq:,} was originally entry {other.seq:,}.",
                )
        return Fault("altered-entry", f"Entry {entry.seq:,} was altered.")

    def _all_entries(self) -> Iterator[Entry]:
        """Yield every readable entry. This moves the position in the file, which is no longer needed."""
        self.file.seek(0)
        for line in self.file:
            try:
                yield Entry(json.loads(line), 0)
            except (ValueError, TypeError, KeyError, RecursionError, Fault):
                continue

    def _checkpoint(self, note: str, number: int) -> None:
        found = Checkpoint(note, self.keys, f"The checkpoint in line {number:,}")
        if found.size < self.tree.size or (self.newest is not None and found.size <= self.newest.size):
            raise Fault("unreadable", f"{found.where} is out of place.")
        if found.size == self.tree.size and found.root != self.tree.root():
            raise Fault(
                "rewritten-chain",
                f"{found.where} does not match these entries: they were rewritten after it was signed.",
            )
        self.checkpoints += 1
        self.newest = found

    def _finish(self) -> None:
        size = self.tree.size
        count = size - self.first + 1
        if self.end != count:
            said = "has no count at its end" if self.end is None else f"its count is {self.end:,}"
            raise Fault("cut-tail", f"The export has {count:,} entries, but {said}.")
        if self.newest is not None and self.newest.size > size:
            raise Fault("cut-tail", f"{self.newest.where} is signed, but the export has only {size:,}.")
        if self.forked is not None:
            raise Fault("two-histories", f"{self.forked.where} does not match the entries of this export.")
        most = max(self.outside, default=0)
        if most > size and not self.part:
            raise Fault(
                "older-backup",
                f"{self.outside[most].where} is kept outside the database, but the export has only {size:,}. "
                "If the checkpoint is newer than the export, export the record again.",
            )
        covered = self.newest.size if self.newest else 0
        if covered < size:
            raise Fault(
                "unsigned-tail", f"Entries {covered + 1:,} to {size:,} are not covered by a checkpoint."
            )


def main(arguments: list[str]) -> int:
    """Verify an export, print the result on one line, and return the exit status."""
    parser = argparse.ArgumentParser(description="Verify an exported record of Stint.")
    parser.add_argument("export", help="file written by `manage.py audit_export`")
    parser.add_argument(
        "--key", action="append", required=True, help="verifier key of the checkpoints; can be repeated"
    )
    parser.add_argument("--part", action="store_true", help="verify an export of a part of the record")
    parser.add_argument("--checkpoints", help="file with checkpoints kept outside the database")
    options = parser.parse_args(arguments)
    try:
        keys = [Key(text) for text in options.key]
        with opened(options.export) as file:
            outside = kept_outside(options.checkpoints, keys) if options.checkpoints else {}
            walk = Walk(file, keys, outside, part=options.part)
            walk.run()
    except Fault as fault:
        sys.stdout.write(f"{fault.kind}: {fault.detail}\n")
        return 1
    except (EOFError, gzip.BadGzipFile, zlib.error):
        sys.stdout.write("unreadable: The compressed file is damaged.\n")
        return 1
    except (OSError, ValueError) as error:
        parser.error(str(error))
    sys.stdout.write(told(walk))
    return 0


def opened(path: str) -> Any:
    """Open an export, which can be compressed with gzip. Raises OSError."""
    with Path(path).open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path) if packed else Path(path).open("rb")


def told(walk: Walk) -> str:
    """Return the output for an intact record."""
    signed = f", the last signed at {walk.newest.time}" if walk.newest and walk.newest.time else ""
    kept = (
        f"All {len([size for size in walk.outside if size <= walk.tree.size]):,} checkpoints kept outside"
        " match this record."
        if walk.outside
        else "An older backup or a second signed history can't be detected without --checkpoints."
    )
    part = f" (the part from {walk.first:,} to {walk.tree.size:,})" if walk.part else ""
    count = walk.tree.size - walk.first + 1
    return f"intact: {count:,} entries{part}, {walk.checkpoints:,} checkpoints{signed}. {kept}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
