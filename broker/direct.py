"""HTTP to Stint's own processes on this machine, ignoring any proxy in the environment."""

from __future__ import annotations

import urllib.request

# If `http_proxy` is set without `no_proxy`, requests to 127.0.0.1 would go to a proxy, for which this is a
# different machine.
direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
