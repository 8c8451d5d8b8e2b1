"""Move a gateway's recordings to the object store, if one is configured. No session and no end waits for
this.
"""

from __future__ import annotations

import threading

import structlog
from django.conf import settings
from django.db import connection

from broker.kernel import clock
from broker.kernel.errors import Unavailable
from sessions_app.gateways.core.database import guarded
from sessions_app.operations.sessions.store_recordings import store_recordings
from sessions_app.queries.record.recording_content import object_store
from sessions_app.storage.base import StoreError

log = structlog.get_logger(__name__)

# Seconds between rounds, and the maximum while the store fails.
EVERY, LONGEST = 2.0, 60.0


class Spool:
    """The thread that stores recordings."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._store_on, name="spool", daemon=True)

    def start(self) -> None:
        """Start the thread, if recordings go to a store."""
        if settings.RECORDINGS_STORE:
            self._thread.start()

    def stop(self) -> None:
        """Start nothing new. Remaining recordings are stored when a gateway runs here again."""
        self._stop.set()

    def _store_on(self) -> None:
        wait = EVERY
        while not self._stop.wait(wait):
            wait = EVERY if self._store() else min(2 * wait, LONGEST)

    def _store(self) -> bool:
        """Store the finished recordings. Return False if they must be retried later."""
        try:
            guarded(
                lambda: store_recordings(folder=settings.RECORDINGS_DIR, store=object_store(), now=clock.now)
            )
        except (StoreError, Unavailable) as error:
            log.warning("recordings.wait", error=str(error))
            return False
        except Exception as error:  # this thread must never end
            log.exception("recordings.failed", error=type(error).__name__)
            return False
        finally:
            # Most rounds find nothing, and send the database no query.
            connection.close()
        return True
