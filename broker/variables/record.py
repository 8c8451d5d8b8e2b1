"""Recordings, the record, and how long everything is kept."""

from __future__ import annotations

from broker.env import Group

RECORDINGS = Group(
    "Recordings",
    "For operators of gateways, and for auditors: where recordings are kept, and how large they can be.",
)
RECORDINGS_DIR = RECORDINGS.text(
    "STINT_RECORDINGS_DIR",
    "",
    "The folder for recordings while commands run. Without a store, recordings stay there afterward. The"
    " file system must support locks. With gateways on several machines, share the folder or set"
    " `STINT_RECORDINGS_STORE`.",
    values="a path",
    shown="`recordings` in `STINT_STATE_DIR`",
)
RECORDINGS_STORE = RECORDINGS.match(
    "STINT_RECORDINGS_STORE",
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?|file:///.+",
    "The store to which finished recordings are moved, encrypted. See "
    "[Keep recordings in an object store](/docs/deploying/#keep-recordings-in-an-object-store).",
    form="s3://bucket/prefix or file:///folder",
    shown="none: recordings stay in `STINT_RECORDINGS_DIR`",
)
RECORDINGS_DAYS = RECORDINGS.number(
    "STINT_RECORDINGS_DAYS",
    365,
    "The number of days that recordings are kept, unless their policy sets another time (`recordings: {keep: "
    "90d}`). Files that belong to no known run, for example after a restore from a backup, are kept "
    "for the same time. Digests stay in the record.",
)
RECORDING_MIB = RECORDINGS.number(
    "STINT_RECORDING_MIB",
    16,
    "The maximum size of the recording of one command, in MiB. Further output is counted, but not kept.",
)
RECORDINGS_MIB_PER_GRANT = RECORDINGS.number(
    "STINT_RECORDINGS_MIB_PER_GRANT", 256, "The maximum size of the recordings of one grant, in MiB."
)
RECORDINGS_MIB = RECORDINGS.number(
    "STINT_RECORDINGS_MIB",
    20_480,
    "The maximum size of all recordings together, in MiB. Administrators are notified at 80%, and when the"
    " disk is nearly full.",
)

RECORD = Group("Record and retention", "For administrators and auditors.")
CHECKPOINTS_FILE = RECORD.text(
    "STINT_CHECKPOINTS_FILE",
    "",
    "The file outside the database to which checkpoints of the record are appended. Keep it on another"
    " machine or disk than the database.",
    values="a path",
    shown="`checkpoints.txt` in `STINT_STATE_DIR`",
)
RECORD_STORE = RECORD.match(
    "STINT_RECORD_STORE",
    r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?|file:///.+",
    "The store to which the worker copies the record each day, as verifiable archives. See"
    " [Retention and archives](/docs/evidence/#retention-and-archives).",
    form="s3://bucket/prefix or file:///folder",
    shown="none",
)
CHECKPOINT_KEY = RECORD.secret(
    "STINT_CHECKPOINT_KEY",
    "The Ed25519 key that signs checkpoints, in PEM (`openssl genpkey -algorithm ed25519`). After a"
    " change, give verifiers both the old and the new key.",
    shown="a key of Stint's own, stored encrypted in the database",
)
GRANTS_DAYS = RECORD.number(
    "STINT_GRANTS_DAYS",
    0,
    "The number of days that a grant is kept after its end, with its request, sessions, runs and "
    "notifications. A"
    " request that was not granted is kept for the same time. A grant stays while one of its recordings or"
    " delegated grants is kept, or its review is open. The record keeps every entry.",
    least=0,
    values="90 or more, or 0 to keep them forever",
)
NOTICES_DAYS = RECORD.number(
    "STINT_NOTICES_DAYS",
    365,
    "The number of days that notifications are kept; 0 keeps them forever.",
    least=0,
)
