"""Whose the files of the embedded servers are, when Stint was started as root."""

import os
import pwd
from pathlib import Path

import pytest

from broker.embedded.account import Account, give, server_account
from broker.embedded.postgres import EmbeddedPostgres
from broker.embedded.state import temporary_state_dir
from broker.embedded.valkey import EmbeddedValkey

pytestmark = pytest.mark.processes

AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start servers as another account")


@AS_ROOT
def test_the_servers_share_their_files_and_sockets_with_no_other_account_of_the_machine():
    with temporary_state_dir() as state, EmbeddedPostgres(state) as postgres, EmbeddedValkey(state) as valkey:
        owners = {
            path.lstat().st_uid
            for place in ("postgres", "valkey", "run")
            for path in (state / place).rglob("*")
        }
        running = {Path(f"/proc/{server.pid}").stat().st_uid for server in (postgres, valkey)}
        assert owners == running == {postgres.account.uid}
        assert postgres.account.uid not in {entry.pw_uid for entry in pwd.getpwall()}


@AS_ROOT
def test_a_state_folder_that_was_moved_keeps_its_account(tmp_path):
    with temporary_state_dir() as state:
        first = EmbeddedPostgres(state)
        first.prepare()
        first.finish()
        moved = state.with_name(f"{state.name}-moved")
        state.rename(moved)
        try:
            with EmbeddedPostgres(moved) as again:
                assert again.account == first.account
        finally:
            moved.rename(state)


@AS_ROOT
def test_an_id_that_a_user_of_the_machine_has_is_not_taken(tmp_path, monkeypatch):
    first, somebody = server_account(tmp_path), pwd.getpwuid(0)

    def passwd(uid: int) -> pwd.struct_passwd:
        if uid != first.uid:
            raise KeyError(uid)
        return somebody

    monkeypatch.setattr("pwd.getpwuid", passwd)
    assert server_account(tmp_path).uid != first.uid


@AS_ROOT
def test_a_file_with_another_name_elsewhere_is_given_to_nobody(tmp_path):
    (tmp_path / "shadow").write_text("of the machine")
    (tmp_path / "tree").mkdir()
    os.link(tmp_path / "shadow", tmp_path / "tree" / "PG_VERSION")
    with pytest.raises(PermissionError, match="another hard link elsewhere"):
        give(tmp_path / "tree", Account(uid=60600, gid=60600))
    assert (tmp_path / "shadow").stat().st_uid == 0
