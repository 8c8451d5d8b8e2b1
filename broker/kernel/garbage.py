"""Keep Python's garbage collector from delaying a page."""

from __future__ import annotations

import gc


def freeze_loaded() -> None:
    """Exclude everything that is loaded from later collections: it lives as long as the process.

    A full collection looks at every object. Once an application is loaded, this takes a tenth of a second, in the
    middle of some request. Call it once, when everything is loaded. Source: the documentation of ``gc.freeze``.
    """
    gc.collect()
    gc.freeze()
    # A page creates some thousand objects that refer to each other, and a collection after every 700 of them costs a
    # tenth of its time. What a page leaves behind dies in the second generation: little and often, so that no tenth
    # page waits for all ten.
    gc.set_threshold(5_000, 2, 500)
