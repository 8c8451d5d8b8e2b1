"""`python -m tests.support.servers.kubernetes.serve FOLDER`: the API server as a separate process.

Once it listens, it prints one line of JSON: its port, its authority's PEM (`ca`) and the administrator's
token. It ends when its standard input is closed, so that it never outlives its parent.
"""

import json
import sys
from pathlib import Path

from tests.support.servers.kubernetes.server import ApiServer


def main(folder: Path) -> None:
    """Serve until the standard input is closed."""
    with ApiServer(folder, cache_seconds=0.2) as api:
        sys.stdout.write(json.dumps({"port": api.port, "ca": api.ca, "token": api.admin}) + "\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
