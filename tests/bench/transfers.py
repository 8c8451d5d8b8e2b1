"""A long file through the SSH gateway compared with plain sftp to the same target."""

import subprocess
import time
from pathlib import Path

from tests.bench.place import place_with_targets
from tests.bench.report import Report, median
from tests.bench.ssh import plain_target
from tests.support.servers.files import client, with_files

LONG, ROUNDS = 1_000_000_000, 2


def run(report: Report) -> None:
    """Measure."""
    with place_with_targets() as place, plain_target(place) as target:
        folder = (place.folder / "files").resolve()
        folder.mkdir()
        catalog = with_files(place, folder, "0" * 64)
        place.world.catalog.update({name: text.replace("300MB", "1GB") for name, text in catalog.items()})
        place.world.apply()
        for name in ("logs/long", "here"):
            with (folder / name).open("wb") as file:
                file.truncate(LONG)
        place.grant()
        direct = client(place, "sftp", "-b", "-", f"{target.account}@127.0.0.1")
        direct[direct.index("-P") + 1] = str(target.port)
        ways = {"gateway": client(place, "sftp", "-b", "-", "web-1@127.0.0.1"), "plain": direct}
        for verb, batch in (
            ("download", f"get {folder}/logs/long {folder}/got"),
            ("upload", f"put {folder}/here {folder}/again/long"),
        ):
            _measure(report, verb, batch, ways, (folder / "got", folder / "again" / "long"))


def _measure(
    report: Report, verb: str, batch: str, ways: dict[str, list[str]], made: tuple[Path, ...]
) -> None:
    took: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, words in ways.items():
            for path in made:
                path.unlink(missing_ok=True)
            began = time.perf_counter()
            subprocess.run(words, input=batch.encode(), check=True, capture_output=True)
            took[way].append(time.perf_counter() - began)
    speeds = {way: LONG / median(each) / 1e6 for way, each in took.items()}
    report.note(f"1 GB {verb}: " + ", ".join(f"{way} {speed:,.0f} MB/s" for way, speed in speeds.items()))
    report.figure(
        f"1 GB {verb} through the gateway over plain sftp, in speed",
        speeds["gateway"] / speeds["plain"],
        "x",
        least=0.5,
    )
