"""The times at which processes exit, reported by the kernel (pidfd_open(2)) instead of polling."""

import os
import select
import threading
import time
from collections.abc import Iterable


class Deaths:
    """Watches processes in a separate thread. ``moments`` maps process ids to times of ``time.monotonic``."""

    def __init__(self, pids: Iterable[int], *, within: float) -> None:
        self.moments: dict[int, float] = {}
        self._files = {os.pidfd_open(pid): pid for pid in pids}
        self._thread = threading.Thread(target=self._watch, args=(within,))
        self._thread.start()

    def wait(self) -> dict[int, float]:
        """Return the times once all have exited. Fails if some do not exit in time."""
        self._thread.join()
        assert not self._files, f"still alive: {sorted(self._files.values())}"
        return self.moments

    def _watch(self, within: float) -> None:
        poll = select.poll()
        for file in self._files:
            poll.register(file, select.POLLIN)
        until = time.monotonic() + within
        try:
            while self._files and (left := until - time.monotonic()) > 0:
                ready = poll.poll(left * 1000)
                now = time.monotonic()
                for file, _ in ready:
                    poll.unregister(file)
                    self.moments[self._files.pop(file)] = now
                    os.close(file)
        finally:
            for file in self._files:
                os.close(file)
