"""HTTP to Stint's own processes on this machine, without any proxy from the environment."""

from __future__ import annotations

import urllib.request

# With `http_proxy` set and no `no_proxy`, a proxy would be asked for 127.0.0.1, which is a different machine there.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
