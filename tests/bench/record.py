"""The record: a million entries, signed, read and verified, in the database and from a file."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench.database import database
from tests.bench.report import Report
from tests.broker.audit.build import bulk_build
from tests.environment import ROOT

ENTRIES = 1_000_000


def run(report: Report) -> None:
    """Measure."""
    from django.conf import settings
    from django.db import connection

    from broker.audit.checkpoint import make_checkpoint
    from broker.audit.checkpoint_key import signer
    from broker.audit.verify import verify
    from broker.kernel import clock

    with tempfile.TemporaryDirectory() as folder, database():
        settings.CHECKPOINTS_FILE = Path(folder) / "checkpoints.txt"
        last = bulk_build(connection, ENTRIES, batch=5000)
        _, took = timed(lambda: make_checkpoint(now=clock.now()))
        report.figure(f"record, first checkpoint of {last:,} entries", took, "s", most=10)
        bulk_build(connection, 100)
        _, took = timed(lambda: make_checkpoint(now=clock.now()))
        report.figure("the next, of 100 more", took * 1000, "ms", most=250)
        verdict, took = timed(lambda: verify(connection=connection))
        assert verdict.ok, verdict.detail
        report.figure(f"record, {verdict.entries:,} entries verified", took, "s", most=10)
        report.figure("the same", verdict.entries / took, "entries/s")
        offline(report, Path(folder), signer(now=clock.now()).verifier)


def offline(report: Report, folder: Path, key: str) -> None:
    """Measure the export, and its verification by the standalone verifier."""
    from django.core.management import call_command

    file = folder / "record.jsonl"
    _, took = timed(lambda: call_command("audit_export", str(file), stdout=sys.stderr))
    report.figure("record, exported", took, "s", most=60)
    command = [sys.executable, "-I", "-S", str(ROOT / "broker/audit/offline.py"), str(file), "--key", key]
    _, took = timed(lambda: subprocess.run(command, check=True))
    report.figure("the export, verified by one file", took, "s", most=60)


def timed(what: Callable[[], Any]) -> tuple[Any, float]:
    """Return the result of a call, and its seconds."""
    began = time.perf_counter()
    return what(), time.perf_counter() - began
