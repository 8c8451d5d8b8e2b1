"""The worker, as a process."""

import signal
import subprocess
import sys

import pytest

from broker.demo.ports import free_port
from broker.processes.argv import worker_argv
from tests.environment import ROOT
from tests.support.waits import PATIENCE, eventually

pytestmark = pytest.mark.processes


def test_a_worker_ends_when_told_while_its_queue_is_away(stint_db, tmp_path):
    env = {**stint_db.env, "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}
    said = tmp_path / "said.log"
    with said.open("wb") as log:
        worker = subprocess.Popen([sys.executable, *worker_argv()], cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        eventually(lambda: "The queue does not respond" in said.read_text())
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0
    finally:
        worker.kill()
        worker.wait()
