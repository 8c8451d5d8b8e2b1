"""Loaded before Django: starts a private PostgreSQL for the whole run, and removes the machine's Stint
settings.
"""

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

# Tests started in the background or with nohup(1) ignore signals, and every program that they start would
# inherit that
# through execve(2). A handler is not inherited, so this process still ignores the signals, but its children
# do not.
for _number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)

_stack = contextlib.ExitStack()
atexit.register(_stack.close)
STATE = _stack.enter_context(temporary_state_dir("stint-test-"))
# Processes of pytest-xdist share the server of the process that started them.
_SHARED = os.environ.get("STINT_TEST_SHARED")
# Tests don't need durability, which is PostgreSQL's responsibility. Benchmarks keep it on.
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
    # Create the template for every test database, as in production: by the owner of the schema.
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
