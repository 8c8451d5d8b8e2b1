"""The command that the gateway actually runs in a container: a shell that runs the approved words,
and terminates them when their time is over.

The shell starts the command with its marks, in the foreground, so that input, output and exit status are
those of the command. Beside it, a watcher checks the container's clock and this command's guard
(`left_in_pods.py`) every second. When the time is over or the guard is gone, the watcher terminates
everything with the command's mark. Guard and watcher back each other up: if one is killed, the other remains.

The wrapper needs POSIX sh, sleep and /proc in the image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from sessions_app.connectors.kubernetes.left_in_pods import SWEEPER, hundredths
from sessions_app.connectors.marks import GRANT_MARK, CannotWrap, Mark, run_mark

# The exit status if the command was never started, like that of `timeout` and `env`.
NOT_STARTED = 125
# A shell handles TERM immediately only during `wait`, so each sleep runs in the background. A sweep that
# has begun is not interrupted.
_WATCH = (
    """watch() { trap 'kill "$nap"; wait "$nap"; exit' TERM; """
    'while kill -0 "$guard" && clock && [ "$now" -lt "$ends" ]; do sleep 1 & nap=$!; wait "$nap"; done; '
    "trap '' TERM; sweep; }; "
)
# On a terminal, Ctrl-C and Ctrl-\\ also reach the shell. The program handles them, and they have no effect
# here.
_HEED = "trap : INT QUIT; "
# `exec` runs the program, not a builtin with the same name. The shell's own message about a command that a
# signal ended is discarded. The guard is checked at the last moment, because a finished sweep finds nothing
# more.
_RUN = (
    f'(export "$grant" "$entry"; kill -0 "$guard" || exit {NOT_STARTED}; exec 2>&4 4>&-; exec "$@");'
    " status=$?; "
)
_WRAPPER = (
    "time=$1 guard=$2 grant=$3 entry=$4; shift 4; exec 4>&2 2>/dev/null; "
    f"{SWEEPER}{_WATCH}"
    f"clock || exit {NOT_STARTED}; ends=$((now + time)); "
    "watch </dev/null >/dev/null 4>&- & watcher=$!; "
    f'{_HEED}{_RUN}kill -TERM "$watcher"; wait "$watcher"; exit "$status"'
)


def wrapped(argv: Sequence[str], *, grant_mark: str, run_id: int, seconds: float, guard: int) -> list[str]:
    """Return the words to exec in a container so that ``argv`` runs there for at most ``seconds``.

    ``guard`` is the process ID of this command's guard. The exit status is that of the command, 128 + n if
    signal n ended it, and ``NOT_STARTED`` if the guard is gone. Raises CannotWrap if there are no words or no
    time is left.
    """
    if not argv or not argv[0] or argv[0].startswith("-"):
        raise CannotWrap("There is no command to run.")
    if not math.isfinite(seconds) or seconds <= 0:
        raise CannotWrap("No time is left for the command.")
    marks = [str(Mark(GRANT_MARK, grant_mark)), str(run_mark(grant_mark, run_id))]
    return ["sh", "-c", _WRAPPER, "stint", hundredths(seconds), str(guard), *marks, *argv]
