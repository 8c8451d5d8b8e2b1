"""Settings of Python's garbage collector, so that collections don't delay pages."""

from __future__ import annotations

import gc


def freeze_loaded() -> None:
    """Exclude all loaded objects from later collections, because they are needed until the process ends.

    A full collection visits every object. In a loaded application, that takes a tenth of a second, in the
    middle of a request. Call this once, when everything is loaded. Source: the documentation of
    ``gc.freeze``.
    """
    gc.collect()
    gc.freeze()
    # A page creates thousands of objects that reference each other, and a collection after every 700 of them
    # would take a tenth of the page's time. Garbage is freed in the second generation, often and in small
    # amounts, so that no page waits while the garbage of ten pages is collected.
    gc.set_threshold(5_000, 2, 500)
