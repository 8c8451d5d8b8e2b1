"""The kubeconfig of a grant's holder.

The kubeconfig is written as JSON, which is valid YAML, so that every value is read as text. Source:
https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

PLUGIN = "stint-kube-credential"


def token_kubeconfig(
    *, name: str, server: str, ca: str, namespace: str, token: str, server_name: str = ""
) -> str:
    """Return a kubeconfig that contains the token itself."""
    return _kubeconfig(name, server, ca, namespace, {"token": token}, server_name)


def exec_kubeconfig(
    *,
    name: str,
    server: str,
    ca: str,
    namespace: str,
    grant_ref: str,
    stint_url: str,
    server_name: str = "",
    target: str = "",
    command: Sequence[str] = (PLUGIN,),
) -> str:
    """Return a kubeconfig without secrets.

    kubectl runs ``command`` with the grant's reference, and the command requests the credential from Stint.
    Without ``ca`` (PEM), the system's authorities are trusted.

    ``name`` is the cluster's name. ``target`` selects a target if the grant has several. ``stint_url`` is the
    URL of Stint's API; if empty, the holder's STINT_URL applies. The holder's own API token is in
    STINT_TOKEN.
    """
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": [*command[1:], grant_ref, *([target] if target else [])],
        "env": [{"name": "STINT_URL", "value": stint_url}] if stint_url else [],
        "interactiveMode": "Never",
        "provideClusterInfo": False,
        "installHint": (
            f"Install sessions_app/connectors/kubernetes/plugin.py from Stint on your PATH as {PLUGIN}."
        ),
    }
    return _kubeconfig(name, server, ca, namespace, {"exec": plugin}, server_name)


def install_command(grant_ref: str) -> str:
    """Return the command that reads a kubeconfig from standard input, so that it stays out of the shell's
    history.
    """
    file = f"~/.kube/{grant_ref.lower()}"
    return f"install -m 600 /dev/stdin {file} && export KUBECONFIG={file}"


def _kubeconfig(
    name: str, server: str, ca: str, namespace: str, user: Mapping[str, Any], server_name: str
) -> str:
    cluster = {"server": server}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca.encode()).decode()
    if server_name:
        cluster["tls-server-name"] = server_name
    context = {"cluster": name, "user": "stint", **({"namespace": namespace} if namespace else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": "stint", "user": user}],
        "contexts": [{"name": name, "context": context}],
        "current-context": name,
    }
    return json.dumps(config, indent=2) + "\n"
