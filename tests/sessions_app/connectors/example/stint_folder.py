"""A connector of a third party, whole: access is a file in a folder, for as long as the file is there.

Its target's address is of no use to it; the folder stands in the connection. Every name derives from the
grant's mark, so that each call may come again after a crash at any point.
"""

import datetime as dt
import json
import os
from pathlib import Path

from pydantic import Field

from sessions_app.connectors.base import (
    MARK,
    CheckStep,
    ConnectionParameters,
    ConnectorError,
    Evidence,
    GrantSpec,
    LeaseSpec,
    Observed,
    TargetSpec,
)
from sessions_app.connectors.registry import ConnectorType


class Parameters(ConnectionParameters):
    """Where the program looks."""

    folder: str = Field(description="The folder in which the program looks, with its full path")


class FolderConnector:
    """Makes, mends, removes and reads back one file for each grant."""

    kind = "folder"

    def provision(self, spec: GrantSpec) -> LeaseSpec:
        """Write the file, or write it anew where somebody changed it."""
        path = _folder(spec.place) / _name(spec.mark)
        wanted = _text(spec)
        if not path.exists() or path.read_text() != wanted:
            draft = path.with_suffix(".new")
            draft.write_text(wanted)
            draft.replace(path)
        return LeaseSpec(grant_ref=spec.grant_ref, mark=spec.mark, place=spec.place, made={"file": str(path)})

    def revoke(self, lease: LeaseSpec) -> Evidence:
        """Remove the file, and what a crash left of one, and look."""
        path = _folder(lease.place) / _name(lease.mark)
        for one in (path, path.with_suffix(".new")):
            one.unlink(missing_ok=True)
        return self.verify(lease)

    def verify(self, lease: LeaseSpec) -> Evidence:
        """Look for the file."""
        path = _folder(lease.place) / _name(lease.mark)
        left = [one.name for one in (path, path.with_suffix(".new")) if one.exists()]
        return Evidence(gone=not left, detail={"looked_in": str(path.parent), "files_left": left})

    def observe(self, place: TargetSpec) -> list[Observed]:
        """Return every grant that has a file, whole or half written."""
        found = {}
        for path in sorted(_folder(place).glob(f"{MARK}-*")):
            mark = path.stem.removeprefix(f"{MARK}-")
            whole = path.suffix == ".json" and _is_whole(path, mark)
            found[mark] = Observed(mark=mark, intact=whole, detail=f"the file {path.name}")
        return list(found.values())

    def check(self, place: TargetSpec) -> list[CheckStep]:
        """Say whether the folder is there and can be written to."""
        try:
            folder = _folder(place)
        except ConnectorError as error:
            return [
                CheckStep("folder", False, error.message, "Make it, and give it to the account of Stint.")
            ]
        ok = os.access(folder, os.W_OK)
        fix = "" if ok else f"Give it to the account that Stint runs as: `chown stint {folder}`."
        return [CheckStep("folder", ok, f"{folder} {'can' if ok else 'can not'} be written to", fix)]


def _folder(place: TargetSpec) -> Path:
    parameters = place.parameters
    assert isinstance(parameters, Parameters)
    path = Path(parameters.folder)
    if not path.is_dir():
        raise ConnectorError(f"{place.target.name}: {path} is no folder.")
    return path


def _name(mark: str) -> str:
    return f"{MARK}-{mark}.json"


def _text(spec: GrantSpec) -> str:
    until = spec.expires_at.astimezone(dt.UTC).isoformat()
    return json.dumps({"mark": spec.mark, "grant": spec.grant_ref, "holder": spec.holder, "until": until})


def _is_whole(path: Path, mark: str) -> bool:
    try:
        return bool(json.loads(path.read_text())["mark"] == mark)
    except (OSError, ValueError, KeyError, TypeError):
        return False


TYPE = ConnectorType(
    kind="folder", title="Folder", make=FolderConnector, parameters=Parameters, default_port=1, commands="ssh"
)
