"""The state folder: where it is, who may read it, and when other commands may use the embedded servers."""

import os
import stat

import pytest

from broker.embedded.account import may_enter, server_account
from broker.embedded.lock import Lock
from broker.embedded.state import (
    RunningUrls,
    StateDirError,
    remove_urls,
    running_urls,
    secret_key_file,
    state_dir,
    write_urls,
)

pytestmark = pytest.mark.processes

URLS = RunningUrls(database="postgresql://a", owner="postgresql://o", queue="redis://q", secret_key="s3cret")


def test_the_variable_names_the_folder_and_it_is_made(state, monkeypatch):
    monkeypatch.setenv("STINT_STATE_DIR", str(state / "here"))
    assert state_dir() == state / "here"
    assert stat.S_IMODE((state / "here").stat().st_mode) == (0o711 if os.geteuid() == 0 else 0o700)
    assert may_enter(state / "here", server_account(state))


def test_a_folder_that_cannot_be_made_is_refused_with_what_to_do(state, monkeypatch):
    (state / "file").write_text("")
    monkeypatch.setenv("STINT_STATE_DIR", str(state / "file" / "below"))
    with pytest.raises(StateDirError, match="Set STINT_STATE_DIR"):
        state_dir()


def test_the_secret_key_is_made_once_long_and_closed(state):
    file = secret_key_file(state)
    key = file.read_text()
    assert len(key.strip()) >= 43
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert secret_key_file(state).read_text() == key


def test_urls_count_only_while_the_launcher_holds_the_lock(state):
    assert running_urls(state) is None
    lock = Lock(state / "postgres.lock")
    lock.acquire()
    write_urls(state, URLS)
    assert running_urls(state) == URLS
    assert stat.S_IMODE((state / "urls.json").stat().st_mode) == 0o600
    lock.release()
    assert running_urls(state) is None
    remove_urls(state)
    assert list(state.glob("urls*")) == []


def test_urls_are_not_shown_when_printed():
    assert "s3cret" not in repr(URLS)
    assert "postgresql" not in repr(URLS)
