"""The Kubernetes connector: an account, roles and bindings for each grant, and the proof that they are gone."""

from sessions_app.connectors.kubernetes.connector import KubernetesConnector
from sessions_app.connectors.kubernetes.parameters import KubernetesParameters
from sessions_app.connectors.registry import ConnectorType

TYPE = ConnectorType(
    kind="kubernetes",
    title="Kubernetes",
    make=KubernetesConnector,
    parameters=KubernetesParameters,
    default_port=6443,
    issues=True,
)
