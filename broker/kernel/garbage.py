"""Python's garbage collector, kept from stopping a page."""

from __future__ import annotations

import gc


def keep_for_good() -> None:
    """Take all that is loaded out of later collections: it lives as long as the process.

    A full collection looks at every object there is, which takes a tenth of a second once an application is loaded, in the
    middle of some request. Call it once, when all is loaded. Source: the documentation of ``gc.freeze``.
    """
    gc.collect()
    gc.freeze()
    # A page makes some thousand objects that refer to each other; looking after every 700 of them costs a tenth of its time.
    # What a page leaves behind dies in the second generation: little and often, so that no tenth page waits for all ten.
    gc.set_threshold(5_000, 2, 500)
