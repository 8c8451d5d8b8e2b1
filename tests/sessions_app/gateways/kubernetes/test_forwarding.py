"""The requests that the gateway sends to an API server for a client."""

import pytest

from sessions_app.gateways.kubernetes.forwarding import accepted

OPENAPI = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("application/json, */*", "application/json,*/*"),
        ("application/vnd.kubernetes.protobuf,application/json", "application/json"),
        ("application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1", "application/json"),
        ("application/cbor", "application/json"),
        ("", "application/json"),
        # kubectl validates objects by it, and reads nothing else from a server without OpenAPI v3.
        (OPENAPI, OPENAPI),
    ],
)
def test_objects_are_asked_for_in_forms_that_can_be_read_and_documents_as_the_client_wants_them(said, asked):
    assert accepted(said) == asked
