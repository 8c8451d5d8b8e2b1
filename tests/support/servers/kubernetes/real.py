"""The cluster in STINT_TEST_KUBECONFIG, with the tests' kubelet as its node; otherwise the one in this
process.
"""

import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

from tests.support.servers.kubernetes.cluster import Cluster, eventually, from_kubeconfig, in_process
from tests.support.servers.kubernetes.node import Node
from tests.support.servers.kubernetes.recorder import Recorder
from tests.support.servers.kubernetes.server import ApiServer

REAL = os.environ.get("STINT_TEST_KUBECONFIG")
_ADMIN = """
apiVersion: v1
kind: ServiceAccount
metadata: {name: stint-tests, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: stint-tests}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: stint-tests, namespace: kube-system}]
"""


@contextlib.contextmanager
def some_cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster whose pods run."""
    if REAL is None:
        with ApiServer(folder, cache_seconds=0.2) as server:
            yield in_process(server)
        return
    real = from_kubeconfig(REAL)
    real.apply(_ADMIN)
    way = Recorder(real.address, real.port, real.ca, folder)
    with Node(real, folder) as node, way:
        context = ssl.create_default_context(cadata=way.ca)
        token = real.token_of("kube-system", "stint-tests")
        yield Cluster("127.0.0.1", way.port, way.ca, context, token, None, way.calls, node.kubelet)
        _clear(real)


def _clear(real: Cluster) -> None:
    """Delete what runs in the tests' namespace, so that the next tests start without it."""
    for kind in ("/apis/apps/v1/namespaces/shop/deployments", "/api/v1/namespaces/shop/pods"):
        for one in real.call("GET", kind)[1].get("items", []):
            real.call("DELETE", f"{kind}/{one['metadata']['name']}", {"gracePeriodSeconds": 0})
    assert eventually(lambda: not real.call("GET", "/api/v1/namespaces/shop/pods")[1].get("items"))
