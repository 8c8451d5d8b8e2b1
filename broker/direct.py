"""HTTP to Stint's own processes on this machine, without a proxy from the environment."""

from __future__ import annotations

import urllib.request

# If `http_proxy` is set without `no_proxy`, a proxy would get requests for 127.0.0.1, which is another
# machine to it.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
