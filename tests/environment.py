"""Loaded before Django: a private PostgreSQL for the whole run, and an environment without anything of the machine's."""

import atexit
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from broker.embedded.postgres import EmbeddedPostgres
from broker.embedded.state import temporary_state_dir

ROOT = Path(__file__).resolve().parent.parent
CANARY = "canary-k3y-that-must-never-be-seen-5f1d9a"

# Who starts tests in the background, or by nohup(1), has them ignore signals, which every program they start would inherit
# through execve(2); a handler is not inherited. So this process goes on ignoring them and its children do not.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

_stack = contextlib.ExitStack()
atexit.register(_stack.close)
STATE = _stack.enter_context(temporary_state_dir("stint-test-"))
# Processes of pytest-xdist share the server of the process that started them.
_SHARED = os.environ.get("STINT_TEST_SHARED")
# Tests are about Stint, not about the disk; what survives a crash of PostgreSQL is PostgreSQL's promise. Benches pay it.
_DISK = {} if os.environ.get("STINT_TEST_DURABLE") else {"fsync": "off", "synchronous_commit": "off"}
POSTGRES = EmbeddedPostgres(Path(_SHARED or STATE), settings={**_DISK, "max_connections": "600"})
if not _SHARED:
    POSTGRES.start()
    _stack.callback(POSTGRES.stop)

for name in list(os.environ):
    if name.startswith("STINT_") and name not in {
        "STINT_POSTGRES_BIN",
        "STINT_VALKEY_BIN",
        "STINT_TEST_KUBECONFIG",
    }:
        del os.environ[name]
os.environ.update(
    DATABASE_URL=POSTGRES.url("stint_app", "stint"),
    DATABASE_OWNER_URL=POSTGRES.url("stint_owner", "stint"),
    REDIS_URL="",
    STINT_SECRET_KEY=CANARY + "-secret-key-of-the-tests",
    STINT_STATE_DIR=str(STATE),
    STINT_LOG_LEVEL="WARNING",
    DJANGO_ALLOW_ASYNC_UNSAFE="true",
)
if not _SHARED:
    # The template that every database of the tests is copied from, made as in production: by the owner of the schema.
    subprocess.run(
        [
            sys.executable,
            str(ROOT / "manage.py"),
            "migrate",
            "--skip-checks",
            "--no-input",
            "--verbosity",
            "0",
        ],
        check=True,
        cwd=ROOT,
    )
